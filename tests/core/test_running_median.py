"""The running median against the median of the window, sorted anew."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from lagrad.core import WINDOW, RunningMedian

#: Many that are equal, and many that are not.
NUMBERS = st.integers(0, 50) | st.floats(-1e6, 1e6)


@given(numbers=st.lists(NUMBERS, min_size=1, max_size=2 * WINDOW + 10))
def test_the_running_median_is_the_median_of_the_window(numbers):
    running = RunningMedian()
    for number in numbers:
        running.add(number)
    window = numbers[-WINDOW:]
    median = statistics.median(window)
    assert len(running) == len(window)
    assert running.value() == median
    assert running.absolute_deviation() == statistics.median(abs(n - median) for n in window)


@given(
    numbers=st.lists(NUMBERS, min_size=WINDOW - 20, max_size=2 * WINDOW + 10),
    asked=st.lists(st.booleans(), min_size=2 * WINDOW + 10, max_size=2 * WINDOW + 10),
)
def test_it_does_not_depend_on_when_it_is_asked(numbers, asked):
    running = RunningMedian()
    for number, (added, ask) in enumerate(zip(numbers, asked, strict=False), 1):
        running.add(added)
        if ask:
            window = numbers[:number][-WINDOW:]
            median = statistics.median(window)
            assert running.value() == median
            assert running.absolute_deviation() == statistics.median(
                abs(n - median) for n in window
            )

"""Whatever bytes come: a decoder gives a value or raises its documented error, and nothing else."""

import random
import resource
import time
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzed_decoders as fuzzed

MESSAGES, TEXTS = fuzzed.messages(), fuzzed.texts()
FILES = (
    *("a checkpoint's manifest", "a checkpoint's tensors", "a checkpoint's tree"),
    *("a journal", "a frame of a journal"),
    *("lines of a trace", "recorded delays", "recorded delays by name", "a trace, audited"),
    *("a trace, replayed", "config.json", "config.json, replayed", "result.json"),
    *("metrics.jsonl", "weights", "MNIST", "the state of a script's model"),
    *("what a script says of its model", "the table of a study"),
)
NAMES = (*MESSAGES, *TEXTS, *FILES)
#: What content of some hundred bytes may take at the most, in bytes.
MEMORY = 200 << 20


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    files = fuzzed.files(tmp_path_factory.mktemp("files"))
    assert set(files) == set(FILES)
    return {**MESSAGES, **TEXTS, **files}


def attempt(decoder, content):
    """Whether it was taken; fails for an error that is not documented."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder.read(content)
    except decoder.errors:
        return False
    except Exception as error:
        error.add_note(f"content: {fuzzed.sample_of(content)}")
        raise
    return True


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_taken(decoders, name):
    assert all(attempt(decoders[name], sample) for sample in decoders[name].samples)


@pytest.mark.parametrize("name", NAMES)
def test_a_short_fuzz(decoders, name):
    decoder = decoders[name]

    @settings(
        max_examples=30 if decoder.slow else 200,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.builds(fuzzed.mutate, st.sampled_from(decoder.samples), st.integers().map(_draw)),
        )
    )
    def check(content):
        attempt(decoder, content)

    check()


def _draw(seed):
    return random.Random(seed)


@pytest.mark.parametrize("name", NAMES)
def test_brackets_without_end(decoders, name):
    decoder = decoders[name]
    for deep in fuzzed._DEEP:
        attempt(decoder, deep)
        attempt(decoder, decoder.samples[0][:-1] + deep)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_long_fuzz(decoders, capsys):
    executions, taken = 0, 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (name, decoder) in enumerate(decoders.items()):
        draw, begun = random.Random(number), time.monotonic()
        rounds = 4_000 if decoder.slow else 60_000
        for _ in range(rounds):
            taken += attempt(decoder, fuzzed.mutate(draw.choice(decoder.samples), draw))
        executions += rounds
        with capsys.disabled():
            print(f"{name}: {rounds} executions in {time.monotonic() - begun:.0f} s")
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    with capsys.disabled():
        print(f"{executions} executions, {taken} taken, 0 crashes, {grown >> 20} MB more at most")
    assert grown < MEMORY

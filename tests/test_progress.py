"""What a person sees while a run goes on."""

import time

from lagrad import Until, _progress, rules, train
from lagrad.runtimes import Simulator


def test_lines_are_spaced_by_real_time_whatever_the_runs_clock_says(monkeypatch, capsys):
    now = 1.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with _progress.Progress() as progress:

        def observe(run):
            nonlocal now
            now += 0.5
            progress(run)

        result = train(
            "quadratic",
            rule=rules.SGD(lr=0.1),
            runtime=Simulator(seconds_per_job=1000.0),
            workers=1,
            until=Until(updates=30),
            observe=observe,
        )
    assert result.seconds == 30_000.0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, "every five seconds, in nearly fifteen"

"""What a person sees while a run goes on."""

import time

import pytest

import small_tasks
from lagrad._progress import Progress
from lagrad.policies import Asynchronous
from lagrad.rules import SGD
from lagrad.runtimes import Evaluation, Run, Setup, Until
from lagrad.tasks import Differentiator


@pytest.fixture
def run():
    setup = Setup(
        task=small_tasks.blobs,
        rule=SGD(lr=0.1),
        policy=Asynchronous(),
        workers=1,
        until=Until(updates=1),
    )
    return Run(setup, Differentiator(setup.task), folder=None, observe=None)


@pytest.mark.parametrize("pace", [0.001, 1000.0], ids=["slow", "fast"])
def test_lines_are_spaced_by_real_time_whatever_the_runs_clock_says(run, pace, monkeypatch, capsys):
    progress = Progress()
    for moment in (2.0, 2.5, 6.9, 7.1, 12.0, 12.2):
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        run.now = pace * moment
        progress(run)
    monkeypatch.undo()
    assert len(capsys.readouterr().err.splitlines()) == 3, "at 2.0, 7.1 and 12.2"


def test_small_losses_and_scores_are_told_apart(run, capsys):
    run.now, run.loss = 1.0, 1.23456e-7
    run.evaluations.append(Evaluation(1.0, 1, {"gap": 6.54321e-9, "accuracy": 0.98765}))
    Progress()(run)
    line = capsys.readouterr().err
    assert "training loss 1.235e-07  gap 6.543e-09  accuracy 0.9877" in line

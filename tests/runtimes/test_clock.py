"""The clock of runs in real seconds, on a machine whose own is turned by hand."""

import math
from types import SimpleNamespace

import pytest

from lagrad.core import Tick
from lagrad.runtimes import Clock, Stopped


@pytest.fixture
def machine(monkeypatch):
    machine = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        "lagrad.runtimes._clock.time", SimpleNamespace(monotonic=lambda: machine.now)
    )
    return machine


@pytest.fixture
def run():
    run = SimpleNamespace(now=0.0, stopped=None, tick=None)
    run.server = SimpleNamespace(next_tick=lambda: run.tick)
    return run


def test_it_goes_from_the_start_to_the_reason_to_stop(machine, run):
    clock = Clock(run)
    machine.now += 5
    clock.look()
    assert not clock.goes
    assert run.now == 0
    clock.start(7.0)
    machine.now += 2
    assert run.now == 7
    clock.look()
    assert clock.goes
    assert run.now == 9
    run.stopped = Stopped.BUDGET
    machine.now += 1
    clock.look()
    assert run.now == 9


def test_a_tick_is_due_from_its_time_on_and_waited_for_no_longer(machine, run):
    clock = Clock(run)
    clock.start(0.0)
    assert clock.left() == clock.left(None) == math.inf
    assert clock.due() is None
    run.tick = 3.0
    assert clock.left(4.0, None) == 3
    assert clock.left(2.0) == 2
    assert clock.due() is None
    machine.now += 3
    clock.look()
    assert clock.due() == Tick(time=3.0)
    machine.now += 1
    clock.look()
    assert clock.left() == 0
    run.stopped = Stopped.INTERRUPTED
    assert clock.due() is None
    assert clock.left() == math.inf

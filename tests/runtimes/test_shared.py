"""The parameters in shared memory: the same bits as in place, and no torn points."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad import rules
from lagrad.core import Gradient, InPlace, Layout, Linear, linear_step
from lagrad.runtimes import torch_threads
from lagrad.runtimes.local._passes import _BLOCK, LONG, Passes
from lagrad.runtimes.local._read_rows import ReadRows
from lagrad.runtimes.local._shared import Shared
from lagrad.weights import Geometric, Polynomial

BLOCK = _BLOCK // 4
#: The last is long in every dtype: in blocks, the last of which is cut short.
SIZES = [1, 64, 100, BLOCK + 65, LONG // 2 + BLOCK + 65]


@pytest.fixture(autouse=True)
def one_thread():
    """As in the local runtime: by several threads PyTorch's own passes give other bits."""
    with torch_threads(1):
        yield


LINEAR = {
    "sgd": rules.SGD(lr=0.05),
    "heavy ball": rules.Momentum(lr=0.05, momentum=0.9),
    "weighted": rules.Momentum(lr=0.05, momentum=0.9, weight=Polynomial(0.5)),
    "nothing kept": rules.Momentum(lr=0.05, momentum=0.0),
    "by date": rules.DynamicMomentum(lr=0.05, kernel=Geometric(0.8)),
}
OTHERS = {
    "nesterov": rules.Momentum(lr=0.05, nesterov=True),
    "decayed": rules.Momentum(lr=0.05, weight_decay=0.1),
    "default": rules.default_rule(2),
    "adam": rules.TorchOptimizer("adam"),
}


def gradient(size, number, dtype):
    draw = torch.Generator().manual_seed(number)
    values = torch.randn(size, generator=draw).to(dtype)
    return Gradient(worker=number % 3, tau=number % 4, samples=1 + number % 2, values=values)


def pair(rule, size, dtype=torch.float32, rows=4):
    """The reference and the shared holder of one start, with a rule's state each."""
    start = torch.randn(size, generator=torch.Generator().manual_seed(99)).to(dtype)
    layout = Layout(("x",), ((size,),), dtype)
    shared = Shared(ReadRows([torch.zeros_like(start) for _ in range(rows)]), start)
    plain = InPlace(start.clone())
    return [(plain, rule.init(start, layout)), (shared, rule.init(start, layout))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule", LINEAR.values(), ids=LINEAR)
def test_linear_steps_that_waited_give_the_bits_of_the_rule(rule, size, dtype):
    (plain, state), (shared, twin) = pair(rule, size, dtype)
    assert linear_step(rule, state, [gradient(size, 0, dtype)], version=0) is not None
    for version in range(12):
        step = [gradient(size, 2 * version + k, dtype) for k in range(1 + (version == 5))]
        for holder, own in ((plain, state), (shared, twin)):
            holder.step(rule, own, step, version=version)
        if version % 5 == 3:  # a step in place, or elsewhere while somebody computes
            newest = shared.params
            if version == 3:
                shared.points.hold(0, version, newest)
            else:
                shared.points.release(0)
            assert torch.equal(plain.params, shared.params)
    assert torch.equal(plain.params, shared.params)
    for own, other in zip(tensors(state), tensors(twin), strict=True):
        assert torch.equal(own, other)
    shared.close()


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    return [t for part in getattr(state, "__dict__", {}).values() for t in tensors(part)]


@pytest.mark.parametrize("rule", OTHERS.values(), ids=OTHERS)
def test_other_rules_step_where_nobody_computes(rule):
    (plain, state), (shared, twin) = pair(rule, 500)
    for version in range(9):
        step = [gradient(500, version, torch.float32)]
        assert linear_step(rule, state, step, version=version) is None
        plain.step(rule, state, step, version=version)
        shared.step(rule, twin, step, version=version)
        shared.points.hold(version % 2, version, shared.params)
        assert torch.equal(plain.params, shared.params)
    shared.close()


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("rule", LINEAR.values(), ids=LINEAR)
def test_coordinates_are_those_of_the_parameters_also_while_steps_wait(rule, dtype):
    (plain, state), (shared, twin) = pair(rule, 700, dtype)
    index = torch.randint(700, (48,), generator=torch.Generator().manual_seed(1))
    for version in range(20):
        step = [gradient(700, version, dtype)]
        plain.step(rule, state, step, version=version)
        shared.step(rule, twin, step, version=version)
        assert torch.equal(plain.index_select(0, index), shared.index_select(0, index))
    assert torch.equal(plain.params, shared.params)
    shared.close()


@given(st.lists(st.tuples(st.sampled_from("srp"), st.integers(0, 2)), max_size=40))
def test_what_somebody_computes_at_is_never_overwritten(happenings):
    """Steps, releases and holds of three workers in any order, on as many rows as are promised."""
    rule = rules.SGD(lr=1.0)
    [_, (shared, state)] = pair(rule, 3, rows=4)
    sent = {}
    for version, (kind, worker) in enumerate(happenings):
        if kind == "s":
            shared.points.release(worker)
            sent.pop(worker, None)
            shared.step(rule, state, [gradient(3, version, torch.float32)], version=version)
        elif kind == "r":
            shared.points.release(worker)
            sent.pop(worker, None)
        else:
            row = shared.points.hold(worker, version, shared.params)
            sent[worker] = (shared.points.rows[row], shared.params.clone())
        for row, point in sent.values():
            assert torch.equal(row, point)
    shared.close()


@given(st.lists(st.tuples(st.sampled_from("sp"), st.integers(0, 2)), max_size=40))
def test_points_ahead_of_the_parameters_have_rows_of_their_own(happenings):
    [_, (shared, state)] = pair(rules.SGD(lr=1.0), 3, rows=5)
    sent, made = {}, {}
    for version, (kind, worker) in enumerate(happenings):
        shared.points.release(worker)
        sent.pop(worker, None)
        if kind == "s":
            shared.step(rules.SGD(), state, [gradient(3, version, torch.float32)], version=version)
            made.clear()
        else:
            point = made.setdefault("point", (version, shared.params + 1))
            row = shared.points.hold(worker, *point)
            sent[worker] = (shared.points.rows[row], point[1])
        for row, point in sent.values():
            assert torch.equal(row, point)
    shared.close()


AHEAD = {
    "default": rules.default_rule(2),
    "rolled": rules.roll_forward(2, lr=0.05),
    "of its own": rules.SMEGA2(workers=2, lr=0.05),
}


@pytest.mark.parametrize("rule", AHEAD.values(), ids=AHEAD)
@given(happenings=st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=30))
def test_points_ahead_are_the_rules_own_and_stay_while_somebody_computes(rule, happenings):
    """Pushes that make a step, or wait for one, of three workers in any order; each then pulls."""
    (plain, state), (shared, twin) = pair(rule, 130, rows=5)
    point = wanted = None
    version, sent = 0, {}
    for makes_a_step, worker in happenings:
        shared.points.release(worker)
        sent.pop(worker, None)
        if makes_a_step:
            step = [gradient(130, version, torch.float32)]
            plain.step(rule, state, step, version=version)
            shared.step(rule, twin, step, version=version)
            version, point = version + 1, None
        if point is None:
            ahead = {"version": version, "expected_tau": 1.5}
            point = shared.point(rule, twin, **ahead)
            wanted = plain.point(rule, state, **ahead).clone()
        row = shared.points.hold(worker, version, point)
        sent[worker] = (shared.points.rows[row], wanted)
        for lies, was in sent.values():
            assert torch.equal(lies, was)
    shared.close()


def test_a_point_ahead_is_made_where_its_worker_reads_it():
    rule = rules.default_rule(2)
    [_, (shared, state)] = pair(rule, 130)
    shared.step(rule, state, [gradient(130, 1, torch.float32)], version=0)
    point = shared.point(rule, state, version=1, expected_tau=1.0)
    assert shared.points.rows[shared.points.hold(0, 1, point)] is point
    assert point is not shared.params
    shared.close()


def test_all_cores_share_the_blocks():
    size, steps = 17 * BLOCK + 5, 3
    x, m, out = torch.ones(size), torch.zeros(size), torch.zeros(size)
    passes = Passes()
    passes([Linear(m, 0.5, torch.ones(size), 1.0, 1.0)] * steps, x, out)
    passes.close()
    assert torch.equal(x, torch.ones(size))
    assert torch.equal(out, torch.full((size,), 1 - (1 + 1.5 + 1.75)))


def test_a_step_during_which_the_machine_stood_still_does_not_make_the_others_long(monkeypatch):
    moments = iter([0.0, 1.0, 10.0, 12.0, 20.0, 3620.0])
    clock = SimpleNamespace(perf_counter=lambda: next(moments))
    monkeypatch.setattr("lagrad.runtimes.local._shared.time", clock)
    rule = LINEAR["sgd"]
    _, (shared, state) = pair(rule, 64)
    assert shared.settle_s == 0
    for number in range(3):
        shared.step(rule, state, [gradient(64, number, torch.float32)], version=number)
        shared.settle()
    assert shared.settle_s == 2.0
    shared.close()

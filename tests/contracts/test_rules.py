"""Contract: deterministic, in place on what the server owns, read only on what it is given."""

import copy
import dataclasses
import inspect
import pickle

import msgspec
import pytest
import safetensors.torch
import torch

from cases_rules import LOOKAHEADS, RULES
from lagrad import checkpoints, rules
from lagrad.core import Gradient, Layout, length, terms_ahead

SIZE = 11
STEPS = 12

#: Rules whose look-ahead has a length of its own.
AHEAD_ANYWAY = [
    rule
    for rule in RULES
    for each in (rule, getattr(rule, "rule", None))
    if isinstance(each, rules.SMEGA2)
    or (isinstance(each, rules.WorkerMomenta) and each.form == "dana-zero")
    or (isinstance(each, rules.WeightPrediction) and each.steps)
]
#: Rules that shrink the parameters by an option of the optimizer within.
DECAYING = [rule for rule in RULES if getattr(rule, "optimizer", "") == "AdamW"]


def innermost(rule):
    return innermost(rule.rule) if isinstance(rule, rules.Wrapped) else rule


#: Rules that count by worker or by gradient: for them a step is no mean.
COUNTING = [
    rule
    for rule in RULES
    if isinstance(innermost(rule), rules.Ringleader | rules.Throttle | rules.PacedMomentum)
    and innermost(rule).workers > 1
]


def guarded(values):
    """A copy of the vector between two others that nobody may touch."""
    whole = torch.full((3, len(values)), torch.nan, dtype=values.dtype)
    whole[1] = values
    return whole[1]


def is_guarded(vector):
    return bool(vector._base[[0, 2]].isnan().all())


def batches(dtype, seed=0):
    """Twelve steps of one to three gradients, up to three versions late."""
    generator = torch.Generator().manual_seed(seed)
    for version in range(STEPS):
        yield [
            Gradient(
                worker=worker,
                tau=min(version, (version * 7 + worker) % 4),
                samples=1 + worker,
                values=guarded(torch.randn(SIZE, dtype=dtype, generator=generator)),
                snapshot=torch.full((SIZE,), 0.05, dtype=dtype),
            )
            for worker in range(1 + version % 3)
        ]


def with_values(gradient, values, snapshot=None):
    return Gradient(
        worker=gradient.worker,
        tau=gradient.tau,
        samples=gradient.samples,
        values=values,
        snapshot=gradient.snapshot if snapshot is None else snapshot,
    )


def start(rule, dtype):
    params = guarded(torch.linspace(-1, 1, SIZE, dtype=dtype))
    return params, rule.init(params, Layout(("x",), ((SIZE,),), dtype))


def as_written(image):
    """An image as it comes back from a file."""
    return checkpoints.Image(
        msgspec.json.decode(msgspec.json.encode(image.tree)),
        safetensors.torch.load(safetensors.torch.save(image.tensors)),
    )


def run(rule, dtype, steps):
    params, state = start(rule, dtype)
    for version, batch in enumerate(steps):
        rule.apply(params, state, batch, version=version)
    return params, state


def test_every_exported_rule_and_every_memory_has_a_case():
    classes = {name for name in rules.__all__ if inspect.isclass(getattr(rules, name))}
    assert {type(case).__name__ for case in RULES + LOOKAHEADS} == classes
    states = [start(rule, torch.float32)[1] for rule in RULES]
    memories = {type(state.memory).__name__ for state in states if hasattr(state, "memory")}
    assert memories == {"Recursion", "Ring", "Exponentials", "History"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rule", RULES, ids=repr)
class TestEveryRule:
    def test_equal_inputs_give_equal_bits(self, rule, dtype):
        (once, _), (again, _) = (run(rule, dtype, batches(dtype)) for _ in range(2))
        assert torch.equal(once, again)
        assert torch.isfinite(once).all()

    def test_works_in_place_and_within_its_bounds(self, rule, dtype):
        params, state = start(rule, dtype)
        memory = params.data_ptr()
        for version, batch in enumerate(batches(dtype)):
            assert rule.apply(params, state, batch, version=version) is None
        assert not torch.equal(params, start(rule, dtype)[0])
        assert (params.data_ptr(), params.dtype, params.shape) == (memory, dtype, (SIZE,))
        assert is_guarded(params)

    def test_gradients_are_only_read(self, rule, dtype):
        params, state = start(rule, dtype)
        for version, batch in enumerate(batches(dtype)):
            before = [gradient.values.clone() for gradient in batch]
            rule.apply(params, state, batch, version=version)
            for gradient, values in zip(batch, before, strict=True):
                assert torch.equal(gradient.values, values)
                assert is_guarded(gradient.values)

    def test_gradients_are_not_kept(self, rule, dtype):
        # A worker writes its next gradient where the last one lay.
        (params, state), (twin, twin_state) = start(rule, dtype), start(rule, dtype)
        for version, batch in enumerate(batches(dtype)):
            rule.apply(twin, twin_state, batch, version=version)
            rule.apply(params, state, batch, version=version)
            ahead = {"version": version + 1, "expected_tau": 2.5}
            wanted = rule.point(twin, twin_state, **ahead).clone()
            for gradient in batch:
                gradient.values.fill_(torch.nan)
            assert torch.equal(rule.point(params, state, **ahead), wanted)
        assert torch.equal(params, run(rule, dtype, batches(dtype))[0])

    def test_lengths_that_are_known_already_change_no_bit(self, rule, dtype):
        # The step in the middle is long, so that what shortens has something to shorten.
        steps = [
            [with_values(g, g.values * (50 if version == 6 else 1)) for g in batch]
            for version, batch in enumerate(batches(dtype))
        ]
        measured = [
            [msgspec.structs.replace(g, length=length(g.values)) for g in batch] for batch in steps
        ]
        assert torch.equal(run(rule, dtype, steps)[0], run(rule, dtype, measured)[0])

    def test_who_takes_no_lengths_looks_at_none(self, rule, dtype):
        steps = list(batches(dtype))
        wrong = [[msgspec.structs.replace(g, length=1e-3) for g in batch] for batch in steps]
        same = torch.equal(run(rule, dtype, steps)[0], run(rule, dtype, wrong)[0])
        assert same or rule.takes_lengths

    def test_the_point_is_what_the_terms_add_to_the_parameters(self, rule, dtype):
        params, state = run(rule, dtype, batches(dtype))
        for expected_tau in (0.0, 2.5):
            ahead = {"version": STEPS, "expected_tau": expected_tau}
            terms = terms_ahead(rule, state, **ahead)
            point = rule.point(params, state, **ahead)
            if terms is None:  # it says nothing
                continue
            assert bool(terms) == (point is not params)
            summed = params.clone()
            for vector, factor in terms:
                torch.add(summed, vector, alpha=factor, out=summed)
            assert torch.equal(summed, point)

    def test_the_initial_parameters_are_not_kept(self, rule, dtype):
        params, state = start(rule, dtype)
        elsewhere = params.clone()
        params.fill_(torch.nan)
        for version, batch in enumerate(batches(dtype)):
            rule.apply(elsewhere, state, batch, version=version)
        assert torch.equal(elsewhere, run(rule, dtype, batches(dtype))[0])

    def test_a_state_that_was_kept_goes_on_with_equal_bits(self, rule, dtype):
        steps = list(batches(dtype))
        params, state = run(rule, dtype, steps[:5])
        twin, twin_state = start(rule, dtype)
        kept = [twin, twin_state]
        checkpoints.put_back(as_written(checkpoints.take([params, state])), kept)
        assert kept[0] is twin
        twin_state = kept[1]
        for version, batch in enumerate(steps[5:], start=5):
            rule.apply(params, state, batch, version=version)
            rule.apply(twin, twin_state, batch, version=version)
            sent = [
                rule.point(x, s, version=version + 1, expected_tau=2.5)
                for x, s in ((params, state), (twin, twin_state))
            ]
            assert torch.equal(*sent)
        assert torch.equal(params, twin)

    def test_looking_changes_nothing(self, rule, dtype):
        params, state = run(rule, dtype, batches(dtype))
        before, kept = params.clone(), copy.deepcopy(state)
        point = rule.point(params, state, version=STEPS, expected_tau=3.0)
        assert torch.equal(params, before)
        assert (point.shape, point.dtype) == (params.shape, params.dtype)
        again = rule.point(params, kept, version=STEPS, expected_tau=3.0)
        assert torch.equal(point, again)

    def test_looks_ahead_where_it_says_so(self, rule, dtype):
        params, state = run(rule, dtype, batches(dtype))
        near, far = (
            rule.point(params, state, version=STEPS, expected_tau=tau).clone() for tau in (1, 3)
        )
        assert torch.equal(near, far) == (not rule.looks_ahead)

    def test_nothing_is_ahead_of_the_start(self, rule, dtype):
        params, state = start(rule, dtype)
        for expected_tau in (0.0, 3.0):
            sent = rule.point(params, state, version=0, expected_tau=expected_tau)
            assert torch.equal(sent, params)

    def test_nothing_is_ahead_where_nothing_is_in_flight(self, rule, dtype):
        if rule in AHEAD_ANYWAY:
            pytest.skip("how far it looks does not follow the staleness")
        params, state = run(rule, dtype, batches(dtype))
        assert torch.equal(rule.point(params, state, version=STEPS, expected_tau=0.0), params)

    def test_zero_gradients_move_nothing_but_decay(self, rule, dtype):
        begun, _ = start(rule, dtype)
        zeros = [
            [with_values(gradient, torch.zeros_like(begun), begun.clone()) for gradient in b]
            for b in batches(dtype)
        ]
        params, _ = run(rule, dtype, zeros)
        if getattr(rule, "weight_decay", 0.0) or rule in DECAYING:
            assert params.norm() < begun.norm()
        else:
            assert torch.equal(params, begun)


@pytest.mark.parametrize("rule", RULES, ids=repr)
class TestEveryRuleAsAValue:
    def test_pickles_copies_prints_and_compares(self, rule):
        again = pickle.loads(pickle.dumps(rule))
        assert again == rule
        assert hash(again) == hash(rule)
        assert copy.deepcopy(rule) == rule
        for field in dataclasses.fields(rule):
            assert f"{field.name}={getattr(rule, field.name)!r}" in repr(rule)
        assert torch.equal(
            run(again, torch.float32, batches(torch.float32))[0],
            run(rule, torch.float32, batches(torch.float32))[0],
        )

    def test_cannot_be_changed(self, rule):
        with pytest.raises(dataclasses.FrozenInstanceError):
            rule.lr = 3.0

    def test_weights_are_shares(self, rule):
        state = run(rule, torch.float64, batches(torch.float64))[1]
        for version in (0, 1, 5, 9):
            assert rule.weight_of(0, version=version, state=state) == 1.0
            shares = [
                rule.weight_of(tau, version=version, state=state) for tau in range(version + 1)
            ]
            assert all(0.0 <= share <= 1.0 for share in shares)
            assert shares == sorted(shares, reverse=True)

    def test_the_divisor_counts_samples(self, rule):
        if rule in COUNTING:
            pytest.skip("it matters who sends a gradient, or how many come")

        # One gradient of seven samples, or the same split among two workers.
        values = torch.linspace(-2, 3, SIZE, dtype=torch.float64)

        def step(*samples):
            batch = [
                Gradient(
                    worker=i, tau=0, samples=n, values=values, snapshot=torch.zeros_like(values)
                )
                for i, n in enumerate(samples)
            ]
            return run(rule, torch.float64, [batch] * 4)[0]

        torch.testing.assert_close(step(7), step(3, 4), rtol=1e-12, atol=1e-12)

    def test_float32_and_float64_agree(self, rule):
        single, double = (
            run(
                rule,
                dtype,
                ([with_values(g, g.values.to(dtype)) for g in b] for b in batches(torch.float32)),
            )[0]
            for dtype in (torch.float32, torch.float64)
        )
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_rules_of_other_arguments_are_others():
    # Auto and named memory differ too: a configuration says what was asked for.
    assert len(set(RULES)) == len(RULES)

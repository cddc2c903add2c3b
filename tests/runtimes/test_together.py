"""Gradients computed together: the run that one by one gives, but for rounding."""

import dataclasses

import pytest
import torch
from msgspec import structs
from torch import nn

import small_tasks
from lagrad import policies, rules, train
from lagrad.core import Guard, Lease
from lagrad.delays import ShiftedExponential
from lagrad.runtimes import Durability, Keeping, Simulator, Until
from lagrad.tasks import Differentiator, quadratic, softmax_mnist
from lagrad.tasks._batches import Batches
from lagrad.tasks._together import Together
from lagrad.trace import Pushed, read_trace

TASKS = {
    "short last batches": dataclasses.replace(small_tasks.blobs, evaluate=None),
    "stream": quadratic(dimension=3, noise=0.1),
    "nothing to draw": quadratic(dimension=3),
    "by vmap": dataclasses.replace(quadratic(dimension=3, noise=0.1), gradients=None),
}


def run(task, together, policy=None, **options):
    given = {
        "rule": rules.Momentum(lr=0.02, momentum=0.5),
        "policy": policy or policies.Asynchronous(),
        "until": Until(updates=40),
    }
    return train(
        task,
        runtime=Simulator(together=together),
        delays=ShiftedExponential(),
        workers=5,
        **given | options,
    )


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("together", [2, 5, 99])
def test_the_run_is_that_of_the_plain_loop(task, together):
    plain, ours = run(task, 1), run(task, together)
    torch.testing.assert_close(ours.params, plain.params)
    assert ours.verdicts == plain.verdicts
    assert ours.seconds == plain.seconds
    assert [w.tau_sum for w in ours.workers] == [w.tau_sum for w in plain.workers]


def recorded(task, together, folder, **options):
    """The records of a run, its result, and what is left of the records without the losses."""
    result = run(task, together, out=folder, **options)
    records = list(read_trace(folder / "trace.jsonl"))
    pushed = [r for r in records if isinstance(r, Pushed)]
    rest = [structs.replace(r, loss=None) if isinstance(r, Pushed) else r for r in records[:-1]]
    return result, [r.loss for r in pushed], rest


UNTIL = {
    "updates": Until(updates=40),
    "seconds": Until(seconds=12.5),
    "epochs": Until(epochs=3.1),
}


@pytest.mark.parametrize("until", UNTIL.values(), ids=UNTIL)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"evaluate_every": 0.7},
        {"ema": 0.9},
        {"rule": rules.PacedMomentum(lr=0.05, momentum=0.5)},
        {"rule": rules.DelayCompensated(rules.SGD(lr=0.05))},
        {"guard": Guard(longest=5.0)},
        {"policy": policies.Ringmaster(3)},
        {"chaos": ("nan:worker=1,p=0.2", "kill:worker=2,at=3s")},
        {"keeping": Keeping(Durability.EVERY_STEP, every=1e6)},
    ],
    ids=str,
)
def test_so_is_its_record(until, options, tmp_path):
    task = small_tasks.blobs
    found = [
        recorded(task, together, tmp_path / str(together), until=until, **options)
        for together in (1, 3, 5)
    ]
    (plain, losses, rest), *others = found
    for ours, our_losses, our_rest in others:
        assert our_rest == rest
        torch.testing.assert_close(our_losses, losses)
        torch.testing.assert_close(ours.params, plain.params)
        assert ours.total_momentum == pytest.approx(plain.total_momentum, rel=1e-3)
        assert [e.seconds for e in ours.evaluations] == [e.seconds for e in plain.evaluations]


def at_times_without_a_gradient(model, noise):
    x = model.x
    fine = (noise[0] < 0.1).to(x.dtype)
    return model() + noise.dot(x) + torch.sqrt(fine + 0 * x).sum()


@pytest.mark.parametrize("strikes", [None, 2])
def test_gradients_that_are_not_finite_are_rejected_as_by_the_plain_loop(strikes, tmp_path):
    task = dataclasses.replace(TASKS["by vmap"], loss=at_times_without_a_gradient)
    guard = Guard(strikes=strikes, sentence=7)
    found = [
        recorded(task, together, tmp_path / str(together), guard=guard, until=Until(updates=90))
        for together in (1, 2, 5)
    ]
    (plain, _, rest), *others = found
    assert plain.verdicts["rejected"] > 5
    for ours, _, our_rest in others:
        assert our_rest == rest
        assert ours.verdicts == plain.verdicts
        torch.testing.assert_close(ours.params, plain.params)


@pytest.mark.parametrize("policy", [policies.KBatchAsync(7), policies.BackupWorkers(2)])
def test_what_waits_in_the_buffer_is_not_written_over(policy):
    plain, ours = (run(TASKS["stream"], together, policy) for together in (1, 4))
    torch.testing.assert_close(ours.params, plain.params)


@pytest.mark.parametrize("policy", [policies.Asynchronous(), policies.BoundedStaleness(9)])
def test_they_are_computed_in_batches(policy, monkeypatch):
    sizes = []
    alike = Together._alike

    def counted(self, points, leases):
        sizes.append(len(leases))
        return alike(self, points, leases)

    monkeypatch.setattr(Together, "_alike", counted)
    run(TASKS["stream"], 5, policy)
    assert max(sizes) == 5
    assert sum(sizes) < 60
    assert len(sizes) < 0.6 * sum(sizes)


@pytest.mark.parametrize("task", [softmax_mnist(batch_size=3), softmax_mnist(l2=0.1)])
def test_a_closed_form_gives_what_autograd_gives(task):
    forms = [Differentiator(task), Differentiator(dataclasses.replace(task, gradients=None))]
    size = forms[0].layout.size
    leases = [Lease(n, 0, 3 * n, 3 * n + 1 + n % 2) for n in range(50)]  # more than are cached
    points = torch.randn(50, size, generator=torch.Generator().manual_seed(0)) / 10
    found = [torch.empty(60, size) for _ in forms]
    rows = list(range(59, 9, -1))
    losses = [
        form.together(points, leases, out=out, rows=rows)
        for form, out in zip(forms, found, strict=True)
    ]
    torch.testing.assert_close(found[0][10:], found[1][10:])
    torch.testing.assert_close(losses[0], losses[1])


def test_what_is_drawn_for_several_leases_is_what_each_draws():
    task = quadratic(dimension=33, noise=0.1)
    batches = Batches(task.data(), seed=7, batch_size=task.batch_size)
    leases = [Lease(n, 0, n, n + 1) for n in (0, 5, 3)]
    one_by_one = torch.stack([batches.draw(lease) for lease in leases])
    assert torch.equal(batches.draw_all(leases), one_by_one)


def half(points, noise, out):
    out["x"].copy_(points["x"]).add_(noise)
    return points["x"].square().sum(1)


def test_a_closed_form_of_something_else_is_refused():
    task = dataclasses.replace(TASKS["stream"], gradients=half)
    with pytest.raises(ValueError, match=r"(?s)Expected a closed form .* mend `gradients`"):
        run(task, 2)
    run(task, 1)  # which makes no use of it


def dropped_out() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(small_tasks.FEATURES, small_tasks.CLASSES))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (small_tasks.with_batch_norm, "without buffers .* use together=1"),
        (small_tasks.make("dropout", model=dropped_out), "vmap takes .* use together=1"),
    ],
)
def test_what_cannot_be_computed_together_is_refused(task, words):
    with pytest.raises(ValueError, match=f"(?s)Expected a .*{words}"):
        run(task, 2)


def test_less_than_one_is_refused():
    with pytest.raises(ValueError, match="at least 1 gradient together, got 0; use 1"):
        Simulator(together=0)

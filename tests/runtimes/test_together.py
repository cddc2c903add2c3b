"""Gradients computed together: the run that one by one gives, but for rounding."""

import dataclasses

import pytest
import torch
from torch import nn

import small_tasks
from lagrad import policies, rules, train
from lagrad.core import Lease
from lagrad.delays import ShiftedExponential
from lagrad.runtimes import Simulator, Until
from lagrad.tasks import Differentiator, quadratic, softmax_mnist

TASKS = {
    "short last batches": dataclasses.replace(small_tasks.blobs, evaluate=None),
    "stream": quadratic(dimension=3, noise=0.1),
    "nothing to draw": quadratic(dimension=3),
    "by vmap": dataclasses.replace(quadratic(dimension=3, noise=0.1), gradients=None),
}


def run(task, together, policy=None, **options):
    return train(
        task,
        rule=rules.Momentum(lr=0.02, momentum=0.5),
        policy=policy or policies.Asynchronous(),
        runtime=Simulator(together=together),
        delays=ShiftedExponential(),
        workers=5,
        until=Until(updates=40),
        **options,
    )


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("together", [2, 5, 99])
def test_the_run_is_that_of_the_plain_loop(task, together):
    plain, ours = run(task, 1), run(task, together)
    torch.testing.assert_close(ours.params, plain.params)
    assert ours.verdicts == plain.verdicts
    assert ours.seconds == plain.seconds
    assert [w.tau_sum for w in ours.workers] == [w.tau_sum for w in plain.workers]


@pytest.mark.parametrize("policy", [policies.KBatchAsync(7), policies.BackupWorkers(2)])
def test_what_waits_in_the_buffer_is_not_written_over(policy):
    plain, ours = (run(TASKS["stream"], together, policy) for together in (1, 4))
    torch.testing.assert_close(ours.params, plain.params)


def test_they_are_computed_in_batches(monkeypatch):
    sizes = []
    together = Differentiator.together
    monkeypatch.setattr(
        "lagrad.tasks.Differentiator.together",
        lambda self, points, leases, **homes: (
            sizes.append(len(leases)),
            together(self, points, leases, **homes),
        )[1],
    )
    run(TASKS["stream"], 5)
    assert max(sizes) == 5
    assert sum(sizes) < 60


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

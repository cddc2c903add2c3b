"""The replay of many seeds against one real run; verdicts that can come out either way."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from lagrad import policies, rules, train
from lagrad.core import shuffled_order
from lagrad.delays import ShiftedExponential
from lagrad.experiments import _runtime_replay as replays
from lagrad.experiments import _runtime_schemes as schemes
from lagrad.experiments._runtime_verdicts import verdicts
from lagrad.experiments.runtime import _steps
from lagrad.runtimes import Simulator, Until, time_steps
from lagrad.tasks import Samples, Task
from lagrad.trace import Judged, Pushed, Sent, read_trace

IMAGES, STEPS, SEED, LR = 40, 60, 3, 0.2


@pytest.fixture
def images(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(IMAGES, 785, generator=generator) / 10
    pixels[:, -1] = 1.0
    labels = torch.randint(10, (IMAGES,), generator=generator)
    monkeypatch.setattr(replays, "samples", lambda images: (pixels, labels))
    return pixels, labels


def zero_model() -> nn.Module:
    model = nn.Linear(785, 10, bias=False)
    nn.init.zeros_(model.weight)
    return model


def penalised(model, batch):
    loss = functional.cross_entropy(model(batch[0]), batch[1])
    return loss + 0.5 * replays.L2 * model.weight.square().sum()


def images_applied(path, quorum):
    """[step, gradient]: the image of each gradient in the order of arrival, from the trace."""
    orders = {}
    applied = {
        (r.worker, r.sequence)
        for r in read_trace(path)
        if isinstance(r, Judged) and r.outcome == "applied"
    }
    image, arrived = {}, []
    for record in read_trace(path):
        if isinstance(record, Sent):
            epoch = record.epoch
            if epoch not in orders:
                orders[epoch] = shuffled_order(IMAGES, seed=SEED, epoch=epoch)
            image[record.worker] = int(orders[epoch][record.start])
        elif isinstance(record, Pushed) and (record.worker, record.sequence) in applied:
            arrived.append(image[record.worker])
    return torch.tensor(arrived[: STEPS * quorum]).view(STEPS, quorum)


@pytest.mark.parametrize(
    ("policy", "quorum"),
    [
        (policies.Asynchronous(), 1),
        (policies.KAsync(3), 3),
        (policies.KBatchAsync(3), 3),
        (policies.Synchronous(), 5),
    ],
    ids=repr,
)
def test_a_seed_of_the_replay_is_a_run_of_the_simulator(policy, quorum, images, tmp_path):
    delays = ShiftedExponential(0.0)
    result = train(
        Task("softmax", model=zero_model, loss=penalised, data=partial(Samples, images)),
        rule=rules.SGD(lr=LR),
        policy=policy,
        runtime=Simulator(),
        workers=5,
        delays=delays,
        seed=SEED,
        until=Until(updates=STEPS),
        out=tmp_path / "run",
    )
    chosen = images_applied(tmp_path / "run" / "trace.jsonl", quorum)
    # Beside another seed, with other images, to see that each follows its own.
    timing = time_steps(policy, delays, workers=5, steps=STEPS, seeds=[SEED + 1, SEED])
    end = float(timing.times[1, -1])
    longer = time_steps(policy, delays, workers=5, steps=3 * STEPS, seeds=[SEED + 1, SEED])
    padded = torch.zeros(2, 3 * STEPS, quorum, dtype=torch.int64)
    padded[1, :STEPS] = chosen
    found = replays.replay(
        longer, padded, lr=LR, until=torch.tensor([end / 2, end], dtype=torch.float64)
    )
    weights = result.params.view(10, 785).T
    torch.testing.assert_close(found[1, 1], weights, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[0, 1], weights, rtol=1e-2)


def test_the_objective_is_that_of_its_definition(images):
    w = torch.randn(3, 785, 10, generator=torch.Generator().manual_seed(1))
    pixels, labels = images
    for value, each in zip(replays.objective(w), w, strict=True):
        logits = pixels @ each
        picked = torch.logsumexp(logits, 1) - logits[torch.arange(IMAGES), labels]
        wanted = picked.mean() + 0.005 * each.square().sum()
        torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize(
    ("scheme", "times", "quorum", "how"),
    [
        ("K-async", "exp(1)", 4, "exact"),
        ("K-async", "1 + exp(1)", 4, "bound"),
        ("K-async", "1 + exp(1)", 1, "exact"),
        ("K-async", "1 + exp(1)", 8, "exact"),
        ("K-async", "Pareto(2, 1)", 4, "none"),
        ("K-batch-sync", "exp(1)", 4, "exact"),
        ("K-batch-sync", "Pareto(2, 1)", 4, "numerical"),
        ("K-sync, not cancelled", "exp(1)", 4, "none"),
    ],
)
def test_what_is_known_of_a_scheme(scheme, times, quorum, how):
    known = schemes.known_time(scheme, schemes.TIMES[times][1], quorum)
    assert known.how == how
    assert np.isnan(known.time) == (how == "none")


@pytest.fixture(scope="module")
def tables():
    """A small grid of real steps, and gaps made up as they should be."""
    cells = [
        {"times": times, "scheme": scheme, "quorum": quorum}
        for times in schemes.TIMES
        for scheme in (*schemes.PUBLISHED, *schemes.UNCANCELLED)
        for quorum in range(1, 9)
    ]
    made = pd.DataFrame({**c, **r} for c in cells for r in _steps(**c, steps=40, seeds=4))
    # Exact where a formula is, so that short runs do not decide.
    exact = made.how.isin(["exact", "numerical"])
    made["time"] = made.time.where(~exact, made.theory)
    made["time"] = made.time.where(made.how != "bound", 0.9 * made.theory)
    made["half_width"] = 0.01 * made.time
    made["staleness"] = made.staleness_theory
    made["fresh"] = made.fresh_theory
    gaps = {
        "async": (0.2, 0.03),
        "K-batch-async": (0.6, 0.01),
        "K-async": (0.8, 0.02),
        "K-batch-sync": (0.6, 0.01),
        "K-sync": (0.8, 0.02),
        "sync": (1.4, 0.05),
    }
    rows = [
        {"scheme": scheme, "seed": seed, "time": time, "objective": 1 + gap * (1 + seed / 1000)}
        for scheme, (early, late) in gaps.items()
        for time, gap in ((100.0, early), (3000.0, late))
        for seed in range(3)
    ]
    return {
        "steps": made,
        "tradeoff": pd.DataFrame(rows),
        "optimum": pd.DataFrame({"optimum": [1.0]}),
    }


def test_the_verdicts_hold_where_the_tables_bear_them_out(tables):
    assert [v.holds for v in verdicts(tables)] == [True] * 11


def holding(tables):
    return [v.holds for v in verdicts(tables)]


def test_no_verdict_on_steps_holds_whatever_the_tables_say(tables):
    steps = tables["steps"].assign(fresh=1.0, staleness=9.0)
    steps["time"] = steps.theory.fillna(0.1) * (1 + steps.quorum / 2)
    assert holding({**tables, "steps": steps})[:8] == [False] * 8


def test_no_verdict_on_errors_holds_whatever_the_tables_say(tables):
    worse = tables["tradeoff"].copy()
    worse.loc[worse.scheme.isin(["async", "K-batch-async"]), "objective"] += 2.0
    assert holding({**tables, "tradeoff": worse})[8:] == [False] * 3

"""Names for things: what is described can be parsed, and nothing else is run."""

import inspect
import math
import os

import pytest

from cases_values import DELAYS, SCHEDULES, SETS, WEIGHTS
from lagrad import delays, policies, rules, schedules, sets, specs, weights

KINDS = ("rule", "policy", "weight", "schedule", "set", "delays", "lookahead", "task")


def round_trip(kind: str, thing: object) -> None:
    text = specs.describe(thing)
    again = specs.parse(kind, text)
    assert again == thing
    assert type(again) is type(thing)
    assert specs.describe(again) == text


@pytest.mark.parametrize("thing", WEIGHTS, ids=repr)
def test_weights_come_back(thing):
    round_trip("weight", thing)


@pytest.mark.parametrize("thing", SCHEDULES, ids=repr)
def test_schedules_come_back(thing):
    round_trip("schedule", thing)


@pytest.mark.parametrize("thing", SETS, ids=repr)
def test_sets_come_back(thing):
    round_trip("set", thing)


@pytest.mark.parametrize("thing", DELAYS, ids=repr)
def test_delays_come_back(thing):
    round_trip("delays", thing)


def test_the_arguments_that_are_shown_can_be_said_and_are_the_defaults():
    said = 0
    for kind in KINDS[:-1]:  # a task is made of functions, which compare by identity
        for name, maker in specs.catalogue(kind).items():
            parameters = inspect.signature(maker).parameters.values()
            if all(parameter.default is not parameter.empty for parameter in parameters):
                shown = specs.arguments(maker)
                assert specs.parse(kind, f"{name}({shown})") == specs.parse(kind, name)
                said += bool(shown)
    assert said > 30


@pytest.mark.parametrize(
    ("kind", "module", "name"),
    [("policy", "cases_policies", "POLICIES"), ("rule", "cases_rules", "RULES")],
)
def test_policies_and_rules_come_back(kind, module, name):
    cases = getattr(pytest.importorskip(module), name)
    assert len(cases) > 1
    for case in cases:
        round_trip(kind, case)


@pytest.mark.parametrize(
    ("kind", "text", "thing"),
    [
        ("rule", "sgd", rules.SGD()),
        ("rule", "sgd:0.5", rules.SGD(lr=0.5)),
        ("rule", "sgd:lr=1e-3", rules.SGD(lr=1e-3)),
        ("rule", " sgd( lr = 0.5 ) ", rules.SGD(lr=0.5)),
        (
            "rule",
            "dynamic:lr=0.05,weight=exponential:0.5",
            rules.DynamicMomentum(lr=0.05, weight=weights.Exponential(rate=0.5)),
        ),
        (
            "rule",
            "dynamic:kernel=geometric:0.95,lookahead=roll-forward,weight=inverse:8",
            rules.DynamicMomentum(
                kernel=weights.Geometric(0.95),
                lookahead=rules.RollForward(),
                weight=weights.Inverse(scale=8),
            ),
        ),
        ("rule", "dynamic:lookahead=none,memory=history", rules.DynamicMomentum(memory="history")),
        ("rule", "dynamic:horizon=3", rules.DynamicMomentum(horizon=3)),
        ("rule", "momentum:nesterov=true", rules.Momentum(nesterov=True)),
        (
            "rule",
            "sgd:lr=warmup(step(0.1,at=(5,9)),updates=3)",
            rules.SGD(lr=schedules.Warmup(schedules.Step(0.1, at=(5, 9)), updates=3)),
        ),
        (
            "rule",
            "projected:sgd,ball:2.0",
            rules.Projected(rules.SGD(), onto=sets.Ball(radius=2.0)),
        ),
        ("policy", "async", policies.Asynchronous()),
        ("policy", "sync", policies.Synchronous()),
        ("policy", "bsp", policies.Synchronous()),
        ("policy", "ssp:2", policies.BoundedStaleness(2)),
        ("policy", "rennala:quorum=3", policies.KBatchSync(3)),
        ("policy", "soft-sync:3", policies.KBatchAsync(3)),
        ("policy", "k-batch-async:3", policies.KBatchAsync(3)),
        ("policy", "k_batch_async(3)", policies.KBatchAsync(3)),
        ("policy", "deadline:mads=2", policies.Deadline(mads=2)),
        ("delays", "stragglers:workers=(1,),factor=3", delays.Stragglers((1,), factor=3)),
        ("delays", "factors:((0,6.0),)", delays.Factors(((0, 6.0),))),
        ("delays", "bursts:0.1,base=equal", delays.Bursts(0.1, base=delays.Equal())),
        ("delays", "sampled:'gamma(2.0, scale=0.5)'", delays.Sampled("gamma(2.0, scale=0.5)")),
        ("set", "box:low=-1,high=inf", sets.Box(low=-1, high=math.inf)),
        ("set", "box:low=-inf,high=1", sets.Box(low=-math.inf, high=1)),
    ],
)
def test_short_forms(kind, text, thing):
    assert specs.parse(kind, text) == thing
    round_trip(kind, thing)


def test_tasks_take_arguments():
    task = specs.parse("task", "quadratic:spectrum=(1.0,3.0),noise=0.5")
    assert task.model()().item() == 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_the_known_ones(kind):
    with pytest.raises(ValueError, match=f"Unknown {kind} 'zzzz'; did you mean ") as caught:
        specs.parse(kind, "zzzz")
    for known in specs.catalogue(kind):
        assert known in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "near"),
    [
        ("rule", "dynamic-momentun:lr=0.1", "dynamic-momentum"),
        ("rule", "sdg", "sgd"),
        ("policy", "k-batch-asinc:3", "k-batch-async"),
        ("policy", "backup-worker", "backup-workers"),
        ("policy", "renala", "rennala"),
        ("delays", "stragler", "stragglers"),
        ("task", "lenet", "lenet-mnist"),
        ("rule", "sgd:weight=exponentail:0.5", "exponential"),
        ("rule", "sgd:lr=cosin(0.1,updates=3)", "cosine"),
    ],
)
def test_an_unknown_name_lists_the_near_ones(kind, text, near):
    with pytest.raises(ValueError, match=rf"Unknown .*; did you mean .*\b{near}\b"):
        specs.parse(kind, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "sgd(", "sgd)", "sgd lr", "sgd:lr=", "sgd:=1", "sgd(lr=0.1", "sgd\0"),
        "(" * 300,
        "sgd:lr=" + "-" * 5000 + "1",
    ],
)
def test_malformed_text_is_refused(text):
    with pytest.raises(ValueError, match="Expected rule as name or name:argument"):
        specs.parse("rule", text)


@pytest.mark.parametrize("number", ["nan", "inf", "1" + "0" * 400])
def test_numbers_that_are_no_rate_are_refused(number):
    with pytest.raises(ValueError, match=r"lr >= 0|learning rate as a number"):
        specs.parse("rule", f"sgd:lr={number}")


@pytest.mark.parametrize("text", ["1", "'sgd'", "sgd.lr", "sgd + sgd", "[sgd]", "sgd()()"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError, match="Expected the name of a rule"):
        specs.parse("rule", text)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("rule", "sgd:rate=0.1", "sgd has no argument 'rate'; it has lr, weight, weight_decay"),
        ("rule", "sgd(**{})", "sgd has no argument None"),
        ("rule", "sgd:0.1,constant,0.0,7", "at most 3 unnamed arguments"),
        ("rule", "sgd:0.1,lr=0.2", "sgd got 'lr' twice"),
        ("rule", "sgd(lr=0.1,lr=0.2)", "sgd got 'lr' twice|Expected rule as"),
        ("rule", "sgd:lr=-0.1", "lr >= 0, got -0.1"),
        ("rule", "sgd:lr=-inf", "lr >= 0, got -inf"),
        ("rule", "sgd:lr='x'", "Expected lr of sgd as float or schedule, got 'x'"),
        ("rule", "sgd:lr=true", "as float or schedule, got True"),
        ("rule", "sgd:lr=cosine:0.1", "does not fit cosine: .*'updates'"),
        ("rule", "sgd:weight=3", "Expected weight of sgd as weight, got 3"),
        ("rule", "sgd:weight=none", "Expected weight of sgd as weight, got None"),
        ("rule", "momentum:momentum=1.5", "Expected momentum in"),
        ("rule", "momentum:momentum=x", "Expected momentum of momentum as float, got 'x'"),
        ("rule", "dynamic:lookahead=3", "Expected lookahead of dynamic as"),
        ("rule", "dynamic:memory=elephant", "Expected memory of dynamic as auto or recursion"),
        ("rule", "dynamic:horizon=2.5", "Expected horizon of dynamic as int or none, got 2.5"),
        ("rule", "projected:rule=3,onto=4", "Expected rule of projected as rule, got 3"),
        ("rule", "projected:sgd", "does not fit projected: .*'onto'"),
        ("policy", "k-batch-async:0", "quorum of at least 1"),
        ("policy", "k-batch-async:2.5", "Expected quorum of k-batch-async as int, got 2.5"),
        ("policy", "k-batch-async:true", "Expected quorum of k-batch-async as int, got True"),
        ("policy", "k-batch-async:x", "Expected quorum of k-batch-async as int, got 'x'"),
        ("policy", "k-batch-async:-x", "Cannot read the value '-x'"),
        ("policy", "k-batch-async:1+1", "Cannot read the value '1 \\+ 1'"),
        ("delays", "factors", "does not fit factors: .*'factors'"),
        ("delays", "stragglers:workers=0", "Expected workers of stragglers as tuple, got 0"),
        ("delays", "gamma:shape=-1", "Expected a finite shape > 0, got -1"),
        ("delays", "bursts:base=3", "Expected base of bursts as delays, got 3"),
        ("task", "quadratic:condition=0.5", "Expected condition >= 1, got 0.5"),
        ("task", "quadratic:10", "at most 0 unnamed arguments"),
        ("task", "softmax-mnist:batch_size=2.5", "batch_size of softmax-mnist as int, got 2.5"),
    ],
)
def test_unfit_arguments_are_refused(kind, text, message):
    with pytest.raises(ValueError, match=message):
        specs.parse(kind, text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('made')",
        "__import__('os')",
        "sgd:lr=__import__('os').mkdir('made')",
        "sgd:__import__('os').mkdir('made')",
        "sgd(lr=(lambda: __import__('os').mkdir('made'))())",
        "sgd(weight=[__import__('os').mkdir('made') for _ in (1,)])",
        "sampled:distribution=__import__('os').mkdir('made')",
        "sampled:\"__import__('os').mkdir('made')\"",
        "quadratic(spectrum=(__import__('os').mkdir('made'),))",
        'sgd(lr=f\'{__import__("os").mkdir("made")}\')',
        "exec(\"import os; os.mkdir('made')\")",
    ],
)
def test_no_code_is_run(kind, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"."):
        specs.parse(kind, text)
    assert not os.listdir(tmp_path)


def test_names_are_kebab_case_and_unique():
    for kind in KINDS:
        for name in specs.catalogue(kind):
            assert name == name.lower()
            assert "_" not in name
        makers = list(specs.catalogue(kind).values())
        assert len(makers) == len(set(makers)), "each is listed once"
    for short, name in specs.ALIASES.items():
        assert any(name in specs.catalogue(kind) for kind in KINDS)
        assert not any(short in specs.catalogue(kind) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_has_a_line_that_says_what_it_is(kind):
    for name, maker in specs.catalogue(kind).items():
        assert specs.summary(maker).endswith("."), name

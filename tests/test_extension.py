"""A newcomer adds a rule by three files: its own, an export line, a line of cases."""

import dataclasses
import inspect
from types import ModuleType, SimpleNamespace

import pytest

from cases_policies import POLICIES
from cases_rules import LOOKAHEADS, RULES
from cases_values import AGGREGATIONS, DELAYS, FAULTS, SCHEDULES, SETS, WEIGHTS
from lagrad import aggregations, chaos, delays, policies, rules, schedules, sets, weights

ROOMS = [
    (weights, WEIGHTS),
    (schedules, SCHEDULES),
    (sets, SETS),
    (delays, DELAYS),
    (chaos, FAULTS),
    (aggregations, AGGREGATIONS),
    (policies, POLICIES),
    (rules, RULES + LOOKAHEADS),
]


def without_a_case(room: ModuleType | SimpleNamespace, cases: list) -> set[str]:
    """Names of the exported classes of which no case is an instance."""
    exported = [getattr(room, name) for name in room.__all__]
    classes = {c for c in exported if inspect.isclass(c) and dataclasses.is_dataclass(c)}
    return {c.__name__ for c in classes - {type(case) for case in cases}}


@pytest.mark.parametrize(("room", "cases"), ROOMS, ids=lambda each: getattr(each, "__name__", ""))
def test_every_exported_class_has_a_case(room, cases):
    assert without_a_case(room, cases) == set()


def test_a_rule_without_a_case_is_found():
    @dataclasses.dataclass(frozen=True)
    class Newcomer:
        lr: float = 0.1

    room = SimpleNamespace(**{n: getattr(rules, n) for n in rules.__all__}, Newcomer=Newcomer)
    room.__all__ = [*rules.__all__, "Newcomer"]
    assert without_a_case(room, RULES + LOOKAHEADS) == {"Newcomer"}
    assert without_a_case(room, [*RULES, *LOOKAHEADS, Newcomer()]) == set()

"""What is to be run: everything a runtime needs to know, and when to stop."""

import math
import re
from dataclasses import dataclass

from lagrad.core import BufferPolicy, Policy, Rule
from lagrad.delays import Delays, Equal
from lagrad.tasks import Task


@dataclass(frozen=True)
class Target:
    """A score that ends the run when an evaluation reaches it.

    >>> Target.parse("accuracy>=0.985").reached({"accuracy": 0.99})
    True
    """

    metric: str
    at_least: bool
    value: float

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read `accuracy>=0.985` or `loss<=0.01`. Raises: ValueError for anything else."""
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*(\S+)\s*", text)
        value = _number(match[3]) if match else math.nan
        if match is None or math.isnan(value):
            raise ValueError(
                f"Expected a target such as 'accuracy>=0.985' or 'loss<=0.01', got {text!r}."
            )
        return cls(match[1], match[2] == ">=", value)

    def reached(self, scores: dict[str, float]) -> bool:
        """Whether the scores satisfy it. Raises: ValueError if they lack the metric."""
        if self.metric not in scores:
            raise ValueError(
                f"Expected a target on one of the task's scores {sorted(scores)}, "
                f"got {self.metric!r}."
            )
        score = scores[self.metric]
        return score >= self.value if self.at_least else score <= self.value

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.at_least else '<='}{self.value:g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a run ends: the first of these to come. At least one must be given.

    updates: steps of the server. seconds: on the runtime's clock. epochs: of samples settled.
    target: a score, as text or `Target`.
    Raises: ValueError for numbers that are not above 0, or if nothing is given.

    >>> Until(updates=100, target="loss<=0.01").target
    Target(metric='loss', at_least=False, value=0.01)
    """

    updates: int | None = None
    seconds: float | None = None
    epochs: float | None = None
    target: Target | str | None = None

    def __post_init__(self) -> None:
        for name in ("updates", "seconds", "epochs"):
            number = getattr(self, name)
            if number is not None and not 0 < number < math.inf:
                raise ValueError(f"Expected {name} > 0, got {number}.")
        if isinstance(self.target, str):
            object.__setattr__(self, "target", Target.parse(self.target))
        if all(limit is None for limit in (self.updates, self.seconds, self.epochs, self.target)):
            raise ValueError("Expected at least one of updates, seconds, epochs, target.")

    def spent(self, *, updates: int, seconds: float, epochs: float) -> bool:
        """Whether a budget is used up."""
        return (
            (self.updates is not None and updates >= self.updates)
            or (self.seconds is not None and seconds >= self.seconds)
            or (self.epochs is not None and epochs >= self.epochs)
        )

    @property
    def goal(self) -> Target | None:
        """The target in its parsed form."""
        assert not isinstance(self.target, str)
        return self.target


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One run, but for the runtime that carries it out.

    task, rule, policy: what is trained, how gradients move the parameters, when. workers: how many.
    until: when it ends. seed: of the initial parameters, the order of the samples, the delays.
    delays: the workers' job times. ema: decay of averaged weights, or None. buffers: what becomes
    of the model's buffers. release_dropped: whether samples of dropped gradients come back.
    evaluate_every: seconds on the runtime's clock between evaluations.
    Raises: ValueError for numbers out of range, or a quorum that the workers cannot bring.
    """

    task: Task
    rule: Rule
    policy: Policy
    workers: int
    until: Until
    seed: int = 0
    delays: Delays = Equal()
    ema: float | None = None
    buffers: BufferPolicy = BufferPolicy.MEAN
    release_dropped: bool = True
    evaluate_every: float = 10.0

    def __post_init__(self) -> None:
        self._require_types()
        if self.workers < 1:
            raise ValueError(f"Expected at least 1 worker, got {self.workers}.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"Expected a seed >= 0 and below 2^63, got {self.seed}.")
        if not 0 < self.evaluate_every < math.inf:
            raise ValueError(f"Expected evaluate_every > 0 seconds, got {self.evaluate_every}.")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(f"Expected ema in [0, 1) or none, got {self.ema}.")
        self.policy.require_workers(self.workers)
        for worker in range(self.workers):
            next(self.delays.stream(worker, self.seed))

    def _require_types(self) -> None:
        # A rule, a policy, a model of delays may be anybody's: it is known by what it answers.
        wanted: dict[str, tuple[str, bool]] = {
            "task": ("a Task", isinstance(self.task, Task)),
            "rule": ("a rule such as SGD()", callable(getattr(self.rule, "apply", None))),
            "policy": (
                "a policy such as Asynchronous()",
                callable(getattr(self.policy, "ready", None)),
            ),
            "delays": ("delays such as Equal()", callable(getattr(self.delays, "stream", None))),
            "until": ("an Until", isinstance(self.until, Until)),
            "workers": ("an int as workers", _is_int(self.workers)),
            "seed": ("an int as seed", _is_int(self.seed)),
        }
        for name, (words, fits) in wanted.items():
            given = getattr(self, name)
            if not fits or isinstance(given, type):
                raise TypeError(f"Expected {words}, got {given!r}.")


def _is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)

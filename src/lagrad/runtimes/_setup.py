"""What is to be run: everything a runtime needs to know, and when to stop."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

from lagrad.chaos import Fault, Slow
from lagrad.core import BufferPolicy, Guard, Policy, Rule
from lagrad.delays import Delays, Equal, Factors
from lagrad.rules import Split, Wrapped
from lagrad.tasks import Task

#: More are a typing error, or a damaged file.
_MOST_WORKERS = 100_000


@dataclass(frozen=True)
class Target:
    """A score that ends the run when an evaluation reaches it.

    metric: the score's name, letters, digits and _. at_least: whether more is better. value: the
    number to reach. Its text reads back as the same target.
    Raises: ValueError or TypeError for anything else.

    >>> Target.parse("accuracy>=0.985").reached({"accuracy": 0.99})
    True
    """

    metric: str
    at_least: bool
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not re.fullmatch(r"\w+", self.metric):
            raise ValueError(
                f"Expected the name of a score as metric, got {self.metric!r}; "
                "give one of those that the task's `evaluate` returns."
            )
        if not isinstance(self.at_least, bool):
            raise TypeError(
                f"Expected at_least as a bool, got {self.at_least!r}; True for >=, False for <=."
            )
        if not _is_number(self.value) or math.isnan(self.value):
            raise ValueError(
                f"Expected a number as value of a target, got {self.value!r}; "
                "or write the whole as text, 'accuracy>=0.985'."
            )

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read `accuracy>=0.985` or `loss<=0.01`. Raises: ValueError for anything else."""
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*(\S+)\s*", text)
        value = _number(match[3]) if match else math.nan
        if match is None or math.isnan(value):
            raise ValueError(
                f"Expected a target such as 'accuracy>=0.985' or 'loss<=0.01', got {text!r}; "
                "give the score, >= or <=, and a number."
            )
        return cls(match[1], match[2] == ">=", value)

    def reached(self, scores: dict[str, float]) -> bool:
        """Whether the scores satisfy it. Raises: ValueError if they lack the metric."""
        if self.metric not in scores:
            raise ValueError(
                f"Expected a target on one of the task's scores {sorted(scores)}, "
                f"got {self.metric!r}; take one of them, or add it to the task's `evaluate`."
            )
        score = scores[self.metric]
        return score >= self.value if self.at_least else score <= self.value

    def better(self, scores: dict[str, float], best: float | None) -> bool:
        """Whether the scores are nearer to it, or further beyond, than `best`, if there is one.

        >>> Target.parse("loss<=0.1").better({"loss": 2.0}, 3.0)
        True
        """
        score = scores[self.metric]
        return best is None or (score > best if self.at_least else score < best)

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.at_least else '<='}{float(self.value)!r}"


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
    Raises: ValueError for numbers that are not above 0, or if nothing is given; TypeError for what
    is of another type.

    >>> Until(updates=100, target="loss<=0.01").target
    Target(metric='loss', at_least=False, value=0.01)
    """

    updates: int | None = None
    seconds: float | None = None
    epochs: float | None = None
    target: Target | str | None = None

    def __post_init__(self) -> None:
        if not (self.updates is None or _is_int(self.updates)):
            raise TypeError(
                f"Expected updates as an int, got {self.updates!r}; give a whole number."
            )
        for name in ("updates", "seconds", "epochs"):
            number = getattr(self, name)
            if number is None:
                continue
            if not _is_number(number):
                raise TypeError(f"Expected {name} as a number, got {number!r}; without quotes.")
            if not 0 < number < math.inf:
                raise ValueError(
                    f"Expected {name} > 0, got {number}; leave it out for no such limit."
                )
        if isinstance(self.target, str):
            object.__setattr__(self, "target", Target.parse(self.target))
        if not (self.target is None or isinstance(self.target, Target)):
            raise TypeError(
                "Expected a target such as 'accuracy>=0.985' or 'loss<=0.01', "
                f"got {self.target!r}; name the score and the side, as text or as a Target."
            )
        if all(limit is None for limit in (self.updates, self.seconds, self.epochs, self.target)):
            raise ValueError(
                "Expected at least one of updates, seconds, epochs, target, got none of them; "
                "a run needs an end, such as updates=1000."
            )

    def spent(self, *, updates: int, seconds: float, epochs: float) -> bool:
        """Whether a budget is used up."""
        most_updates, most_seconds, most_epochs = self._limits
        return updates >= most_updates or seconds >= most_seconds or epochs >= most_epochs

    @cached_property
    def _limits(self) -> tuple[float, ...]:
        limits = (self.updates, self.seconds, self.epochs)
        return tuple(math.inf if limit is None else limit for limit in limits)

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
    evaluate_every: seconds on the runtime's clock between evaluations. chaos: what goes wrong.
    guard: what is done about bad gradients.
    Raises: ValueError for numbers out of range, or a quorum that the workers cannot bring;
    TypeError for what is of another type.
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
    chaos: tuple[Fault, ...] = ()
    guard: Guard = Guard()

    def __post_init__(self) -> None:
        self._require_types()
        if self.workers < 1:
            raise ValueError(f"Expected at least 1 worker, got {self.workers}; raise workers.")
        if self.workers > _MOST_WORKERS:
            raise ValueError(
                f"Expected at most {_MOST_WORKERS} workers, got {self.workers}; lower workers."
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(
                f"Expected a seed >= 0 and below 2^63, got {self.seed}; take one in that range."
            )
        if not 0 < self.evaluate_every < math.inf:
            raise ValueError(
                f"Expected evaluate_every > 0 seconds, got {self.evaluate_every}; "
                "give a long time for hardly any evaluations."
            )
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(
                f"Expected ema in [0, 1) or none, got {self.ema}; give a decay such as 0.99."
            )
        self.policy.require_workers(self.workers)
        self._require_workers_of(self.rule)
        self._require_gradients_of(self.rule)
        require_faults(self.chaos, workers=self.workers)
        for worker in range(self.workers):
            next(self.delays.stream(worker, self.seed))

    @property
    def job_times(self) -> Delays:
        """The delays, with what faults make slow."""
        return job_times(self.delays, self.chaos)

    def _require_workers_of(self, rule: object) -> None:
        # A rule that counts workers waits for those that it counts.
        wanted = getattr(rule, "workers", 0)
        if wanted > self.workers:
            raise ValueError(
                f"Expected a rule for {self.workers} workers, got {rule}, which is for {wanted}; "
                "give it the run's number."
            )
        for part in _parts_of(rule):
            self._require_workers_of(part)

    def _require_gradients_of(self, rule: object) -> None:
        # A robust mean of fewer gradients than it needs would bear less than it says.
        fewest = getattr(getattr(rule, "aggregation", None), "fewest", 0)
        point = getattr(self.policy, "point", self.policy)
        brought = getattr(point, "quorum", fewest)  # of a policy of one's own nothing is known
        if brought is None:
            brought = self.workers - getattr(point, "backups", 0)
        if fewest > brought:
            raise ValueError(
                f"Expected steps of at least {fewest} gradients for {rule}, got {self.policy}, "
                f"whose steps may have {brought}; raise its quorum, or bear fewer bad ones."
            )
        for part in _parts_of(rule):
            self._require_gradients_of(part)

    def _require_types(self) -> None:
        # A rule, a policy, a model of delays may be anybody's: it is known by what it answers.
        wanted: dict[str, tuple[str, bool]] = {
            "task": ("a Task such as parabola()", isinstance(self.task, Task)),
            "rule": ("a rule such as SGD()", callable(getattr(self.rule, "apply", None))),
            "policy": (
                "a policy such as Asynchronous()",
                callable(getattr(self.policy, "ready", None)),
            ),
            "delays": ("delays such as Equal()", callable(getattr(self.delays, "stream", None))),
            "until": ("an Until such as Until(updates=1000)", isinstance(self.until, Until)),
            "workers": ("an int such as 4", _is_int(self.workers)),
            "seed": ("an int such as 0", _is_int(self.seed)),
            "ema": ("a number such as 0.99, or None", self.ema is None or _is_number(self.ema)),
            "buffers": (
                "a BufferPolicy such as BufferPolicy.MEAN",
                isinstance(self.buffers, BufferPolicy),
            ),
            "guard": ("a Guard such as Guard(longest=10)", isinstance(self.guard, Guard)),
            "chaos": (
                "a tuple of faults such as (Kill(0, at=3.0),)",
                isinstance(self.chaos, tuple) and all(isinstance(f, Fault) for f in self.chaos),
            ),
            "evaluate_every": ("a number such as 2.0", _is_number(self.evaluate_every)),
        }
        for name, (words, fits) in wanted.items():
            given = getattr(self, name)
            if not fits or isinstance(given, type):
                raise TypeError(
                    f"Expected as {name} {words}, got {given!r}; give one of that kind."
                )


def job_times(delays: Delays, chaos: Sequence[Fault]) -> Delays:
    """The delays, with what faults make slow."""
    slow = [fault for fault in chaos if isinstance(fault, Slow)]
    return reduce(lambda base, f: Factors(((f.worker, f.factor),), base), slow, delays)


def require_faults(chaos: Sequence[Fault], *, workers: int) -> None:
    """Refuse faults of workers that a run does not have. Raises: ValueError."""
    for fault in chaos:
        worker = getattr(fault, "worker", None)
        if isinstance(worker, int) and worker >= workers:
            raise ValueError(
                f"Expected faults of workers below {workers}, got {fault}; they are counted from 0."
            )


def _parts_of(rule: object) -> list[object]:
    """The rules that a rule is made of."""
    match rule:
        case Wrapped():
            return [rule.rule]
        case Split():
            return [rule.first, rule.rest]
    return []


def _is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _is_number(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool)

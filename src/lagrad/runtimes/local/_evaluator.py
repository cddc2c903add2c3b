"""Scores of copies of the parameters, computed beside the training."""

import math
from dataclasses import dataclass

from torch import Tensor

from lagrad.core import BufferPolicy
from lagrad.runtimes._run import Moment, Run

from ._seat import Seat
from ._worker import Evaluate

#: Into how many intervals copies divide the time between two evaluations.
_INTERVALS = 4
#: Copies that are kept at most: where scoring takes long, they are spaced more widely instead.
_MOST_COPIES = 8


@dataclass(frozen=True)
class Copy:
    """The parameters and buffers as they were at one moment."""

    moment: Moment
    params: Tensor
    buffers: Tensor


class Evaluator:
    """Gives a process one copy after another to score; a score counts for the copy's moment.

    seat: of that process; None for a task without scores, of which each moment is noted at once.
    Scoring costs processor time that training needs, so it is done every `evaluate_every` seconds.
    A run with a target also keeps a few copies in between, which costs next to nothing; once a
    copy reaches the target, those before it are scored after the training, oldest first, so that
    the time to the target is known more finely than the evaluations were spaced.
    """

    def __init__(self, run: Run, seat: Seat | None) -> None:
        self.seat = seat
        self._run = run
        self._scoring: Copy | None = None
        self._kept: list[Copy] = []
        self._every = run.setup.evaluate_every
        self._next_evaluation = self._every
        keeps = run.setup.until.goal is not None
        self._copy_every = self._every / _INTERVALS if keeps else math.inf
        self._next_copy = self._copy_every

    @property
    def busy(self) -> bool:
        """Whether a copy is being scored."""
        return self._scoring is not None

    def next_time(self) -> float:
        """When `keep_time` has something to do."""
        return min(self._next_copy, math.inf if self.busy else self._next_evaluation)

    def keep_time(self) -> None:
        """Take a copy or begin to score one, if it is time."""
        now = self._run.now
        if not self.busy and now >= self._next_evaluation:
            self._next_evaluation = now + self._every
            self.score(self.copy())
        elif now >= self._next_copy:
            self._kept.append(self.copy())
            if len(self._kept) > _MOST_COPIES:
                self._kept = self._kept[1::2]
                self._copy_every *= 2
        else:
            return
        self._next_copy = now + self._copy_every

    def copy(self) -> Copy:
        """The parameters as they are now."""
        run, moment = self._run, self._run.moment()
        buffers = run.server.buffers
        if buffers is None:
            buffers = run.trainee.initial_buffers()
        return Copy(moment, run.evaluation_params().clone(), buffers.clone())

    def score(self, copy: Copy) -> None:
        """Begin to score a copy; the process answers with Evaluated."""
        if self.seat is None:
            moment, params, buffers = copy.moment, copy.params, copy.buffers
            self._run.evaluated({}, moment=moment, params=params, buffers=buffers)
            return
        self.seat.slot.point.copy_(copy.params)
        self.seat.slot.buffers.copy_(copy.buffers)
        self._scoring = copy
        self.seat.send(Evaluate(self._run.setup.buffers is BufferPolicy.RECALIBRATE))

    def score_again(self) -> None:
        """Give a new process the copy that the last one did not live to score."""
        if self._scoring is not None:
            self.score(self._scoring)

    def give_up(self) -> None:
        """No process will score any more."""
        self._scoring = None

    def scored(self, scores: dict[str, float | None]) -> None:
        """The answer to `score`."""
        copy = self._scoring
        assert copy is not None
        assert self.seat is not None
        self._scoring = None
        self._run.evaluated(
            {name: math.nan if score is None else score for name, score in scores.items()},
            moment=copy.moment,
            params=copy.params,
            buffers=self.seat.slot.buffers,
        )
        until = self._run.seconds_to_target
        if until is None:
            self._kept = [each for each in self._kept if each.moment.seconds > copy.moment.seconds]

    def next_kept(self) -> Copy | None:
        """The oldest copy that may have reached the target before the one that is known to."""
        until = self._run.seconds_to_target
        if until is None or not self._kept or self._kept[0].moment.seconds >= until:
            return None
        return self._kept.pop(0)

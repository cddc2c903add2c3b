"""The evaluator's process beside a server: started, listened to, replaced once if it dies."""

from multiprocessing.connection import Connection

from lagrad._forking import roomy_malloc
from lagrad.runtimes._result import Stopped
from lagrad.runtimes._run import Run

from ._evaluator import Evaluator
from ._seat import Seat, ending
from ._worker import Evaluated, Failed, Job, Ready, Slot

#: Longest sleep while scores are awaited, in seconds.
_PULSE_S = 0.1


class Scorer:
    """Scores copies of a run's parameters in a process of this machine; none for a task without."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._seat: Seat | None = None
        self._restarts_left = 1
        if run.setup.task.evaluate is not None:
            slot = Slot.allocate(run.trainee.initial_params(), run.trainee.initial_buffers())
            job = Job(run.setup.task, run.setup.seed, delays=None, seconds_per_job=None)
            self._seat = Seat(-1, slot, job)
        self._evaluator = Evaluator(run, self._seat)
        self.next_time = self._evaluator.next_time
        self.keep_time = self._evaluator.keep_time

    @property
    def ready(self) -> bool:
        """Whether the process can score; also where there is none."""
        return self._seat is None or self._seat.ready

    def start(self) -> None:
        """Start the process."""
        if self._seat is not None:
            with roomy_malloc():
                self._seat.spawn()

    def sources(self) -> list[Connection]:
        """Where its messages come."""
        seat = self._seat
        return [] if seat is None or seat.connection is None else [seat.connection]

    def take(self) -> None:
        """Take in what the process has said, if anything."""
        seat = self._seat
        while seat is not None and seat.connection is not None and seat.connection.poll():
            message = seat.receive()
            match message:
                case Ready():
                    seat.ready = True
                case Evaluated(scores):
                    self._evaluator.scored(scores)
                case Failed(words):
                    self._lost(seat, words)
                case _:
                    self._lost(seat, None)

    def _lost(self, seat: Seat, words: str | None) -> None:
        seat.dismiss()
        code = seat.bury()
        self.run.failures.append(f"The evaluator: {words or ending(code)}")
        if self._restarts_left:
            self._restarts_left -= 1
            self.start()
            self._evaluator.score_again()
        else:
            self._evaluator.give_up()
            self.run.fail(f"The evaluator is gone; the last words:\n{self.run.failures[-1]}")

    def score_the_rest(self) -> None:
        """After the training: the copies that may have reached the target, and the last one."""
        self._await()
        while self._alive() and (copy := self._evaluator.next_kept()) is not None:
            self._evaluator.score(copy)
            self._await()
        if self._seat is None or self._alive():
            self.run.final_evaluation(self._evaluate_and_wait)

    def _alive(self) -> bool:
        return self._seat is not None and self._seat.occupied

    def _evaluate_and_wait(self) -> None:
        self._evaluator.score(self._evaluator.copy())
        self._await()

    def _await(self) -> None:
        while self._evaluator.busy and self.run.stopped is not Stopped.INTERRUPTED:
            for source in self.sources():
                source.poll(_PULSE_S)
            self.take()

    def end(self) -> None:
        """End the process."""
        if self._seat is not None:
            self._seat.dismiss()
            self._seat.bury()

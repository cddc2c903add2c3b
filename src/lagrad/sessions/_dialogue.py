"""What the processes of a script say to the server, and what it answers them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lagrad.runtimes import Backoff, Folder, Observer

from ._door import Door
from ._memory import Memory
from ._messages import (
    Asked,
    Begun,
    Delivered,
    Described,
    FromScript,
    Given,
    Logged,
    Mapped,
    Paused,
    Refused,
    Resumed,
    Scored,
    Stop,
)
from ._opening import rule_of
from ._place import Place
from ._script_model import ScriptModel
from ._terms import Launch
from ._training import Training


class Dialogue:
    """Takes what the processes in their places say, from a model's description to the last push.

    begun: what a run that goes on trains on; None for a new one. early_failures: before there was
    a training. give_up: called with the reason why the run must end, where a script does not fit
    it. trainee: the model that the first process has described. training: what they take part in,
    once the first has asked for a batch, or described the model of a run that goes on.
    """

    def __init__(
        self,
        terms: Launch,
        places: Sequence[Place],
        door: Door,
        *,
        backoffs: Sequence[Backoff],
        early_failures: Sequence[str],
        folder: Folder | None,
        begun: Begun | None,
        observe: Observer | None,
        give_up: Callable[[str], None],
    ) -> None:
        self.terms, self.places, self.door = terms, places, door
        self.backoffs, self.early_failures = backoffs, early_failures
        self.folder, self.begun, self.observe = folder, begun, observe
        self.give_up = give_up
        self.trainee: ScriptModel | None = None
        self.training: Training | None = None

    @property
    def over(self) -> bool:
        """Whether there was training, and it has stopped."""
        return self.training is not None and self.training.run.stopped is not None

    def take(self, place: Place, message: FromScript) -> bool:
        """Whether a process may say that now; if so, it has been taken in and answered."""
        training = self.training
        match message:
            case Described() if place.memory is None:
                self._describe(place, message)
            case Begun() if place.memory and not place.begun and not self._is_ready(place):
                self._begin(place, message)
            case Asked() if place.memory:
                self._give(place)
                place.send(Given())
            case Scored() | Logged() if training is None:
                pass  # there are no books yet
            case _ if training is not None:
                return self._take_in(training, place, message)
            case _:
                return False
        return True

    def _take_in(self, training: Training, place: Place, message: FromScript) -> bool:
        match message:
            case Delivered() if place.begun:
                place.paused = False
                with self._refusing(place):
                    training.push(place, message)
            case Paused() if place.begun:
                place.paused = True
            case Resumed() if place.begun:
                place.paused = False
                place.send(Given())
            case Resumed() | Delivered() if place.away:
                training.come_back(place)
            case Paused() if place.away:
                pass
            case Scored(scores):
                with self._refusing(place):
                    training.scored(place, scores)
            case Logged(values):
                training.log(place, values)
            case _:
                return False
        return True

    def _is_ready(self, place: Place) -> bool:
        return self.training is not None and place in self.training.ready

    @contextmanager
    def _refusing(self, place: Place) -> Iterator[None]:
        """Who asks for what does not fit the run is told so, and the run ends."""
        try:
            yield
        except ValueError as error:
            place.send(Refused(str(error)))
            self.give_up(f"Worker {place.number}: {error}")

    def _describe(self, place: Place, described: Described) -> None:
        state = self.door.state(place.number, place.incarnation)
        if self.over:
            place.told = True
            place.send(Stop())
            return
        fits = False
        with self._refusing(place):
            try:
                if self.trainee is None:
                    rule_of(self.terms, described)
                    self.trainee = ScriptModel(described, state)
                    if self.begun is not None:
                        self._open(self.trainee, self.begun)
                else:
                    self.trainee.require_same(described)
                fits = True
            finally:
                state.unlink(missing_ok=True)
        if not fits:
            return
        path = self.door.memory(place.number, place.incarnation)
        place.memory = Memory.described(path, described)
        self._give(place)
        place.memory.point.copy_(place.memory.trained)
        place.memory.buffers.copy_(place.memory.trained_buffers)
        place.send(Mapped(str(path)))

    def _give(self, place: Place) -> None:
        """Put the evaluated parameters of now into the place's memory."""
        assert place.memory is not None
        assert self.trainee is not None
        params, buffers = self.trainee.initial_params(), self.trainee.initial_buffers()
        if self.training is not None:
            server = self.training.run.server
            params = server.evaluation_params
            buffers = buffers if server.buffers is None else server.buffers
            self.training.note_asked(place)
        place.memory.trained.copy_(params)
        place.memory.trained_buffers.copy_(buffers)

    def _begin(self, place: Place, begun: Begun) -> None:
        self.door.memory(place.number, place.incarnation).unlink(missing_ok=True)
        assert self.trainee is not None
        with self._refusing(place):
            training = self.training or self._open(self.trainee, begun)
            training.begin(place, begun)

    def _open(self, trainee: ScriptModel, begun: Begun) -> Training:
        """The training begins, or goes on. Raises: ValueError for what does not fit."""
        training = Training(
            self.terms,
            self.places,
            trainee,
            begun,
            backoffs=self.backoffs,
            folder=self.folder,
            observe=self.observe,
        )
        training.restore()
        training.run.failures += self.early_failures
        self.training = training
        return training

    def stop_all(self) -> None:
        """Tell everybody that the training is over, with what it has come to."""
        for place in self.places:
            if place.memory is not None and not place.told:
                self._give(place)
                place.told = True
                place.send(Stop())

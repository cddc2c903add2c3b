"""What a training script holds: three changed lines."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lagrad.core import Rule, shuffled_order
from lagrad.rules import default_rule
from lagrad.tasks import Samples

from ._groups import Group, base_rates, led
from ._link import Finished, Job, Link
from ._optimizer import Rates, ServerOptimizer
from ._tracked import Tracked

_Model = TypeVar("_Model", bound=nn.Module)


class Session:
    """A script's place in a run; made by `lagrad.join()`.

        session = lagrad.join()
        model = session.wrap(model)
        optimizer = session.optimizer(rules.Momentum(lr=0.1))
        for batch in session.batches(dataset, batch_size=64):
            ...; loss.backward(); optimizer.step()

    worker: this process's number. workers: how many the run has. seed: the run's.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._thread = threading.get_ident()
        self._tracked: Tracked | None = None
        self._optimizer: ServerOptimizer | None = None
        self._job: Job | Finished | None = None
        self._given: Job | None = None
        self._source: tuple[int | None, int] | None = None
        self._epoch = 0
        self._left = 0
        self._local: torch.optim.Optimizer | None = None
        self._steps = 1
        self._by_speed = False
        self._taken = 0
        self._start: Tensor | None = None
        self._loss: float | None = None
        self._aside: tuple[Tensor, Tensor] | None = None
        self._evaluation: tuple[float, Callable[[nn.Module], dict[str, float]]] | None = None
        self._next_evaluation = 0.0

    @property
    def worker(self) -> int:
        """Number of this process, from 0."""
        return self._link.worker

    @property
    def workers(self) -> int:
        """How many processes the run was started with; 1 if the script runs alone."""
        return self._link.workers

    @property
    def seed(self) -> int:
        """Of the run; the order of the samples depends on it."""
        return self._link.seed

    @property
    def finished(self) -> bool:
        """Whether the run is over: its target reached, its budget spent, or stopped."""
        return isinstance(self._job, Finished)

    def wrap(self, model: _Model) -> _Model:
        """Name the model that is trained; the same object is returned.

        Freeze, convert and tie before. Raises: RuntimeError at a second call; ValueError for a
        model without trainable parameters.
        """
        if self._tracked is not None:
            raise RuntimeError("Expected one session.wrap(model), got another; wrap them as one.")
        self._tracked = Tracked(model)
        return model

    def optimizer(
        self,
        rule: Rule | None = None,
        *,
        groups: Sequence[Mapping[str, Any]] | None = None,
        local: torch.optim.Optimizer | None = None,
        steps: int = 1,
        by_speed: bool = False,
    ) -> ServerOptimizer:
        """The optimizer whose steps the server takes, with the parameters of the run loaded.

        rule: None for the default. groups: as torch's optimizers take them, each a mapping of
        "params" and of what it has other than the rule, {"params": head, "lr": 0.01}; None: one of
        all parameters. local: an optimizer of this process's own that takes `steps`
        steps before the difference is handed in, as start - now, for the rule to take as a
        gradient: the server's is then the outer optimizer. by_speed: `steps` are those of the
        fastest worker, the others take fewer: floor(steps * speed / fastest speed), at least 1.
        Raises: RuntimeError before `wrap`, at a second call, or if the run has another model;
        ValueError for a rule that the server cannot be told of, or groups that do not fit it.
        """
        if self._tracked is None:
            raise RuntimeError("Expected session.wrap(model) first; the optimizer is of a model.")
        if self._optimizer is not None:
            raise RuntimeError("Expected one session.optimizer(...), got another; keep the first.")
        if steps < 1 or (local is None and (steps > 1 or by_speed)):
            raise ValueError(
                "Expected steps >= 1, and a local optimizer for more than one and for by_speed, "
                f"got steps={steps}, by_speed={by_speed}, local={local}; "
                "give local=torch.optim.SGD(model.parameters(), lr=...)."
            )
        given: Sequence[Mapping[str, Any]]
        given = [{"params": self._tracked.parameters}] if groups is None else groups
        parts = [[*group["params"]] for group in given]
        settings = [{k: v for k, v in group.items() if k != "params"} for group in given]
        named = default_rule(self.workers) if rule is None else rule
        sized = [Group(*each) for each in zip(self._tracked.arrange(parts), settings, strict=True)]
        led(named, sized)  # what does not fit is said here, in the script
        params, buffers = self._link.describe(self._tracked, rule, sized)
        self._tracked.load(params, buffers)
        self._local, self._steps, self._by_speed = local, steps, by_speed
        self._optimizer = ServerOptimizer(parts, base_rates(named, sized), self._step)
        return self._optimizer

    def batches(
        self, data: Any, batch_size: int | None = None, *, per_step: int = 1
    ) -> Iterator[Any]:
        """One epoch of batches; ends early when the run does.

        Between epochs the model holds the trained parameters of the moment, ready to be scored.
        data: with a batch_size, a tuple of tensors or a map-style data set, whose samples the
        workers share: each is drawn once per epoch, by one of them, in an order given by the
        run's seed. Without, any iterable of batches, such as a DataLoader, of which every worker
        has its own. per_step: batches to each optimizer step, where gradients are accumulated.
        Raises: TypeError for data of unknown length with a batch_size; RuntimeError before
        `optimizer`, or for another size than in the first epoch.
        """
        if self._optimizer is None:
            raise RuntimeError(
                "Expected session.optimizer(...) before session.batches(...), got none; "
                "batches are handed out to a model and its rule."
            )
        if self.finished:
            return
        if batch_size is not None and (batch_size < 1 or per_step < 1):
            raise ValueError(
                f"Expected batch_size and per_step >= 1, got {batch_size} and {per_step}; "
                "raise them."
            )
        self._put_back()
        self._resume()
        try:
            if batch_size is None:
                yield from self._own(data)
            else:
                yield from self._leased(_counted(data), batch_size, per_step)
            self._show_trained()
        finally:  # a loop may be left by `break`, too
            if isinstance(self._job, Job):
                self._link.pause()

    def _resume(self) -> None:
        if isinstance(self._job, Job):
            another = self._link.resume()
            if another is not None:
                self._taken = 0  # local steps from a point that is given up
                self._take(another)

    def _show_trained(self) -> None:
        if isinstance(self._job, Job):
            assert self._tracked is not None
            self._aside = self._tracked.pack(), self._tracked.pack_buffers()
            self._tracked.load(*self._link.trained())

    def _put_back(self) -> None:
        if self._aside is not None:
            assert self._tracked is not None
            self._tracked.load(*self._aside)
            self._aside = None

    def _own(self, data: Iterable[Any]) -> Iterator[Any]:
        self._begin(None, 1)
        for batch in data:
            if self.finished:
                return
            yield batch

    def _leased(self, samples: Samples, batch_size: int, per_step: int) -> Iterator[Any]:
        self._begin(len(samples), batch_size * per_step * self._steps)
        order = shuffled_order(len(samples), seed=self.seed, epoch=self._epoch)
        while isinstance(self._job, Job) and self._job.lease.epoch <= self._epoch:
            job = self._job
            if job is self._given:
                self._skip()
                continue
            self._given = job
            own = job.lease.epoch == self._epoch
            indices = job.lease.indices(
                order
                if own
                else shuffled_order(len(samples), seed=self.seed, epoch=job.lease.epoch)
            )
            # What is left of an epoch is cut finer, so that every step has as many batches.
            steps = -(-len(indices) // (batch_size * per_step))
            chunks = indices.tensor_split(min(len(indices), steps * per_step))
            for index, chunk in enumerate(chunks):
                self._left = len(chunks) - 1 - index
                yield samples.batch(chunk)
                if self._job is not job:
                    break
        self._epoch += 1

    def _begin(self, num_samples: int | None, batch_size: int) -> None:
        if self._source is None:
            self._source = (num_samples, batch_size)
            self._take(
                self._link.begin(
                    num_samples, batch_size, steps=self._steps, by_speed=self._by_speed
                )
            )
        elif self._source != (num_samples, batch_size):
            raise RuntimeError(
                f"Expected batches as in the first epoch, {self._source} (samples, per step), got "
                f"{(num_samples, batch_size)}; a run trains on one data set."
            )

    def _skip(self) -> None:
        """No step was taken with the last batches: their gradient, not finite, is refused."""
        assert self._tracked is not None
        if self._tracked.holds_gradients():
            raise RuntimeError(
                "Expected optimizer.step() after the batches of a step, got the next batch asked "
                "for; accumulate with session.batches(..., per_step=K), or skip a batch after "
                "optimizer.zero_grad()."
            )
        self._link.gradient().fill_(torch.nan)
        self._take(self._link.deliver(self._tracked.pack_buffers(), loss=None, rates=()))

    def _step(self, loss: float | None, rates: Rates) -> None:
        assert self._tracked is not None
        self._require_own_thread()
        if self.finished:
            return
        if self._job is None:
            raise RuntimeError(
                "Expected the loop to run over session.batches(...), got a step without a batch "
                "from it; write `for batch in session.batches(loader)`."
            )
        self._tracked.require_unchanged()
        self._put_back()
        if self._local is not None:
            self._local.step()
            self._taken += 1
            leased = self._source is not None and self._source[0] is not None
            assert isinstance(self._job, Job)
            if self._left if leased else self._taken < self._job.steps:
                return
            self._hand_in_difference()
        else:
            self._tracked.collect_gradients(self._link.gradient())
        told = loss if loss is not None else self._loss
        self._loss = None
        self._take(self._link.deliver(self._tracked.pack_buffers(), loss=told, rates=rates))
        self._evaluate_if_due()

    def _require_own_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "Expected the thread that called lagrad.join(), got another; a process is one "
                "worker, so step, log and ask there."
            )

    def _hand_in_difference(self) -> None:
        assert self._tracked is not None
        assert self._start is not None
        torch.sub(self._start, self._tracked.pack(), out=self._link.gradient())
        self._tracked.note_gradients()
        self._taken = 0

    def _take(self, job: Job | Finished) -> None:
        assert self._tracked is not None
        self._job = job
        if isinstance(job, Finished):
            self._tracked.load(job.params, job.buffers)
            return
        self._tracked.load(job.point, job.buffers)
        if self._local is not None:
            self._start = self._tracked.pack()

    def log(self, **values: float) -> None:
        """Keep values in the run's records; `loss` is also the training loss of the next step.

        >>> import lagrad
        >>> from lagrad.sessions._alone import Alone
        >>> Session(Alone(0)).log(loss=0.5, accuracy=0.9)
        """
        self._require_own_thread()
        numbers = {name: float(value) for name, value in values.items()}
        self._loss = numbers.get("loss", self._loss)
        self._link.log(numbers)

    def evaluate_every(
        self, seconds: float, evaluate: Callable[[nn.Module], dict[str, float]]
    ) -> None:
        """Score the trained parameters now and then, on worker 0 alone.

        evaluate: from the model, in evaluation mode and without gradients, to scores, of which
        `lagrad run --target` may name one. The model is put back afterwards.
        """
        if not seconds > 0:
            raise ValueError(f"Expected seconds > 0, got {seconds}; say how often to evaluate.")
        if self.worker == 0:
            self._evaluation = (seconds, evaluate)
            self._next_evaluation = time.monotonic() + seconds

    def _evaluate_if_due(self) -> None:
        if self._evaluation is None or self.finished:
            return
        seconds, evaluate = self._evaluation
        if time.monotonic() < self._next_evaluation:
            return
        tracked = self._tracked
        assert tracked is not None
        before = tracked.pack(), tracked.pack_buffers()
        training = tracked.model.training
        tracked.load(*self._link.trained())
        tracked.model.eval()
        try:
            with torch.no_grad():
                scores = {name: float(value) for name, value in evaluate(tracked.model).items()}
        finally:
            tracked.model.train(training)
            tracked.load(*before)
        self._link.scored(scores)
        self._next_evaluation = time.monotonic() + seconds

    def state_dict(self) -> dict[str, Tensor]:
        """The trained model of now, as `nn.Module.load_state_dict` takes it; copies."""
        self._require_own_thread()
        if self._optimizer is None or self._tracked is None:
            raise RuntimeError("Expected session.optimizer(...) first; nothing is trained yet.")
        tracked = self._tracked
        before = tracked.pack(), tracked.pack_buffers()
        tracked.load(*self._link.trained())
        state = {k: v.detach().clone() for k, v in tracked.model.state_dict().items()}
        tracked.load(*before)
        return state


def _counted(data: Any) -> Samples:
    if not isinstance(data, tuple) and not hasattr(data, "__len__"):
        raise TypeError(
            f"Expected data with a length where a batch_size is given, got {type(data).__name__} "
            "without __len__; pass batches of your own, session.batches(DataLoader(...))."
        )
    samples = Samples(data)
    if not len(samples):
        raise ValueError("Expected data with at least one sample, got none; check the data set.")
    return samples

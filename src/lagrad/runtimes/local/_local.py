"""Processes of one machine: parameters and gradients in shared memory, messages in pipes."""

from dataclasses import dataclass

from lagrad.core import accelerator, require_kind
from lagrad.runtimes._folder import Folder
from lagrad.runtimes._keeper import Keeper
from lagrad.runtimes._keeping import Keeping
from lagrad.runtimes._result import Result
from lagrad.runtimes._run import Observer, Run
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._terms import require_hung_after, require_restarts, require_seconds_per_job
from lagrad.runtimes._threads import torch_threads
from lagrad.tasks import Differentiator

from ._crew import Crew
from ._shared import sharing


@dataclass(frozen=True)
class Local:
    """Worker processes on this machine, one torch thread each, and the server in this process.

    restarts: how often a worker that failed is started again, each, after 1 s, 2 s, 4 s and so on;
    ten minutes of health begin the count anew. One that was asked to leave (SIGTERM) has not
    failed: it is started again after a minute, always.
    hung_after: seconds without a sign of life after which a worker's process is ended, and with it
    what it could still have pushed; also one whose job computes that long and 20 times as long as
    any job before. None: never.
    seconds_per_job: of a healthy job of the delay model; jobs are stretched by sleeping. None: a
    job of d units sleeps d - 1 times as long as its gradient took (d < 1 cannot be made).
    device: where workers compute: "cpu"; "cuda", one GPU after the other in turn; or "cuda:1",
    which all share. The server stays on the processor.
    The clock starts when every worker is ready. Where the task has scores, an evaluator process
    scores copies of the parameters while training goes on; they count for the copy's moment.
    Raises: ValueError for numbers out of range; RunFailed where a run cannot go on.
    """

    restarts: int = 3
    seconds_per_job: float | None = None
    hung_after: float | None = 30.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        require_restarts(self.restarts)
        require_hung_after(self.hung_after)
        require_seconds_per_job(self.seconds_per_job)
        require_kind(self.device)

    @property
    def evaluate_every(self) -> float:
        """Two seconds, where a run does not say."""
        return 2.0

    def require(self, setup: Setup, keeping: Keeping | None = None) -> None:
        """Refuse a device that is not here. Raises: ValueError."""
        del setup, keeping
        accelerator(self.device)

    @property
    def needs_pickling(self) -> bool:
        """Yes: workers are other processes."""
        return True

    def run(
        self,
        setup: Setup,
        *,
        folder: Folder | None = None,
        observe: Observer | None = None,
        differentiator: Differentiator | None = None,
    ) -> Result:
        """Carry out the setup.

        differentiator: of the setup's task and seed, where one is there already.
        """
        # The workers need the cores: the server's updates are short and run on one thread.
        with torch_threads(1):
            own = differentiator or Differentiator(setup.task, setup.seed)
            run = Run(setup, own, folder=folder, observe=observe)
            crew: Crew | None = None
            with run.interruptible():
                try:
                    with (
                        run.shortages(),
                        sharing(run.server.params, workers=setup.workers) as (region, shared),
                    ):
                        crew = Crew(
                            run,
                            region,
                            shared,
                            restarts=self.restarts,
                            seconds_per_job=self.seconds_per_job,
                            hung_after=self.hung_after,
                            device=self.device,
                        )
                        with Keeper(run, folder, crew) as keeper:
                            keeper.restore(journals=True)
                            crew.assemble()
                            crew.train(keeper)
                finally:
                    if crew is not None:
                        crew.disband()
                return run.result()

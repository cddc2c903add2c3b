"""Virtual time: the deterministic reference of all runtimes."""

import math
from dataclasses import dataclass

from lagrad.runtimes._folder import Folder
from lagrad.runtimes._keeper import Keeper
from lagrad.runtimes._result import Result
from lagrad.runtimes._run import Observer, Run
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._threads import torch_threads
from lagrad.tasks import Differentiator

from ._simulation import Simulation


@dataclass(frozen=True)
class Simulator:
    """Real gradients in virtual time: a heap of finish times, one process, no waiting.

    seconds_per_job: virtual seconds of a job of one unit of the delay model, > 0.
    restarts: how often a worker that was killed (`chaos`) is started again, each; a start takes
    one healthy job.
    together: up to so many gradients that wait for their delivery are computed at once, by the
    task's closed form (`Task.gradients`) or torch.func.vmap, which is faster where a gradient is
    cheap and workers are many. 1: one by one, the reference, whose bits are those of all runtimes;
    else equal to it but for rounding.
    Torch computes on one thread. Two runs of equal setups give the same trace and the same bits.
    Simultaneous events come in the order in which they were scheduled. Evaluation takes no
    virtual time.
    Raises: ValueError for numbers out of range, or, with `together` above 1, for a model with
    buffers, a loss that vmap does not take or a closed form that is none; RunFailed where a run
    cannot go on.
    """

    seconds_per_job: float = 1.0
    restarts: int = 0
    together: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.seconds_per_job < math.inf:
            raise ValueError(
                f"Expected seconds_per_job > 0, got {self.seconds_per_job}; "
                "use 1 to count in jobs of a healthy worker."
            )
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
        if self.together < 1:
            raise ValueError(
                f"Expected to compute at least 1 gradient together, got {self.together}; use 1."
            )

    @property
    def evaluate_every(self) -> float:
        """Ten healthy jobs, where a run does not say."""
        return 10.0 * self.seconds_per_job

    @property
    def needs_pickling(self) -> bool:
        """No: everything happens in this process."""
        return False

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
        with torch_threads(1):
            own = differentiator or Differentiator(setup.task, setup.seed)
            if self.together > 1:
                own.require_together()
            run = Run(setup, own, folder=folder, observe=observe)
            simulation = Simulation(
                run,
                own,
                seconds_per_job=self.seconds_per_job,
                restarts=self.restarts,
                together=self.together,
            )
            with run.interruptible():
                with run.shortages(), Keeper(run, folder, simulation) as keeper:
                    if keeper.restore(journals=False):
                        simulation.catch_up()
                    keeper.begin()
                    simulation.go(keeper)
                return run.result()

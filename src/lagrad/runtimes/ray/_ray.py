"""Workers on the machines of a Ray cluster, which come and go."""

import math
import typing
from dataclasses import dataclass

from lagrad.core import Guard, require_kind
from lagrad.runtimes._folder import Folder
from lagrad.runtimes._keeper import Keeper
from lagrad.runtimes._keeping import Durability, Keeping
from lagrad.runtimes._result import Result
from lagrad.runtimes._run import Observer, Run
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._terms import require_hung_after, require_restarts, require_seconds_per_job
from lagrad.runtimes._threads import torch_threads
from lagrad.runtimes.wire._compression import Compression
from lagrad.tasks import Differentiator

from ._cluster import Cluster, require_packages
from ._crew import Crew, Terms
from ._tickets import require_sliceable, stand_in_server


@dataclass(frozen=True)
class Ray:
    """Workers as actors that Ray places, watches and starts again; the server here, or in shards.

    address: of a cluster as `ray.init` takes it, such as "auto" on one of its nodes; None: the
    cluster this process is connected to, else one of its own on this machine, for the run alone.
    servers: S; 1: the server is in this process, and lives as long. Above 1: each of S slices of
    the vector is kept by two actors, on two nodes where there are two; the loss of either, or of
    both one after the other, ends nothing. A run with a folder keeps checkpoints, as of `Keeping`;
    every-step with servers=1 alone. For rules that act on every element alike.
    The run's number of workers is the most there are; min_workers: how many must be there to
    start, and to go on; None: all to start, one to go on. Those that find no room wait for it, and
    join when a node brings it. cpus_per_worker: logical processors that Ray reserves for each.
    device: where workers compute, "cpu" or "cuda"; Ray then gives each a GPU, or the same part of
    one where they are more than the cluster's GPUs at the start. Servers stay on the processor.
    restarts: how often a worker whose own code fails, or that hangs, is started again, each, after
    1 s, 2 s, 4 s and so on; one whose node or process is lost comes back always, and at once; one
    that was asked to leave (SIGTERM) always, after a minute. hung_after, seconds_per_job: as of
    `Local`; a shard that shows no sign of life is ended, too. compression: of gradients on their
    way to another host, "bf16", or "int8" or "topk" with error feedback; such a run cannot be
    replayed. patience: seconds that a connection, the start, or being fewer than min_workers may
    last.
    Raises: ValueError for numbers out of range, or without the packages; RunFailed where a run
    cannot go on.
    """

    address: str | None = None
    servers: int = 1
    min_workers: int | None = None
    cpus_per_worker: float = 1.0
    restarts: int = 3
    seconds_per_job: float | None = None
    hung_after: float | None = 30.0
    compression: Compression | None = None
    patience: float = 120.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        require_packages()
        require_restarts(self.restarts)
        require_hung_after(self.hung_after)
        require_seconds_per_job(self.seconds_per_job)
        if self.min_workers is not None and self.min_workers < 1:
            raise ValueError(
                f"Expected min_workers >= 1 or None, got {self.min_workers}; None waits for all."
            )
        if require_kind(self.device).index is not None:
            raise ValueError(
                f"Expected a device without a number, got {self.device!r}; Ray says which one."
            )
        if self.servers < 1:
            raise ValueError(f"Expected servers >= 1, got {self.servers}; use 1 for no shards.")
        if self.compression not in {None, *typing.get_args(Compression)}:
            raise ValueError(
                f"Expected compression bf16, int8, topk or None, got {self.compression!r}; "
                "None sends gradients as they are."
            )
        for name in ("cpus_per_worker", "patience"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"Expected {name} > 0, got {getattr(self, name)}; leave it out for the usual."
                )

    @property
    def evaluate_every(self) -> float:
        """Two seconds, where a run does not say."""
        return 2.0

    @property
    def needs_pickling(self) -> bool:
        """Yes: the task is sent to other processes."""
        return True

    def require(self, setup: Setup, keeping: Keeping | None = None) -> None:
        """Refuse a setup that it cannot carry out, or keep. Raises: ValueError."""
        durability = None if keeping is None else keeping.durability
        if self.servers > 1 and durability is Durability.EVERY_STEP:
            raise ValueError(
                "Expected durability interval or none for a server in shards, got every-step; "
                "take servers=1, where whole gradients are seen and can be written down."
            )
        if self.min_workers is not None and self.min_workers > setup.workers:
            raise ValueError(
                f"Expected min_workers of at most the run's {setup.workers} workers, "
                f"got {self.min_workers}; raise workers."
            )
        if self.servers > 1 and setup.guard != Guard():
            raise ValueError(
                f"Expected the default guard for a server in shards, got {setup.guard}; "
                "take servers=1, where whole gradients are seen."
            )
        require_sliceable(setup, self.servers)

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
            server = stand_in_server(setup, own) if self.servers > 1 else None
            run = Run(setup, own, folder=folder, observe=observe, server=server)
            cpus = setup.workers * self.cpus_per_worker
            computes = self.device != "cpu"
            cluster = Cluster(self.address, cpus=cpus, gpus=computes, patience=self.patience)
            terms = Terms(
                servers=self.servers,
                min_workers=self.min_workers,
                cpus_per_worker=self.cpus_per_worker,
                restarts=self.restarts,
                seconds_per_job=self.seconds_per_job,
                hung_after=self.hung_after,
                compression=self.compression,
                patience=self.patience,
                device=self.device,
            )
            crew: Crew | None = None
            try:
                with run.interruptible():
                    try:
                        with run.shortages():
                            crew = Crew(run, terms, cluster)
                            with Keeper(run, folder, crew, crew.shards) as keeper:
                                keeper.restore(journals=True)
                                crew.assemble()
                                crew.train(keeper)
                    finally:
                        if crew is not None:
                            crew.disband()
                    return run.result()
            finally:
                cluster.leave()

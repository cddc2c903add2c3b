"""How processes begin that have torch and lagrad at once."""

import multiprocessing
from multiprocessing.context import ForkServerContext, SpawnContext


def forking(*more: str) -> ForkServerContext | SpawnContext:
    """Processes forked from one that has imported torch and lagrad, and has done nothing else.

    It is started once, and ends with this process. more: modules that it imports, too, if it has
    not been started yet. Where there is none, each imports anew. Its environment is that of its
    start.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lagrad.runtimes._worker", *more])
    return context

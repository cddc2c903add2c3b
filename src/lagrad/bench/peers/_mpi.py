"""An MPI parameter server, as the authors of the 2017 note built theirs: its start and its end."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import msgspec
from safetensors.torch import load_file

from lagrad.runtimes import RunFailed

from ._load import Load, Measured


def mpi_missing() -> str:
    """What has to be installed."""
    wanted = []
    if shutil.which("mpirun") is None:
        wanted.append("apt-get install openmpi-bin libopenmpi-dev")
    if find_spec("mpi4py") is None:
        wanted.append("pip install 'lagrad[peers]'")
    return f"not installed: {'; '.join(wanted)}" if wanted else ""


def mpi(load: Load) -> Measured:
    """Rank 0 is the server; a message for each parameter and way, in buffers, without pickling.

    The server takes gradients as they come, steps on each, and answers with the parameters.
    Source: ours, after hwang595/ps_pytorch, whose server waits for all workers.
    Raises: RunFailed if it fails.
    """
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "measured.safetensors")
        process = subprocess.Popen(
            [
                *("mpirun", "-n", str(load.workers + 1), "--oversubscribe", "--bind-to", "none"),
                *(sys.executable, "-m", "lagrad.bench.peers._mpi_ranks"),
                *(msgspec.json.encode(load).decode(), str(out)),
            ],
            env={**os.environ, **(root if os.geteuid() == 0 else {})},
            stdin=subprocess.DEVNULL,
        )
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()  # mpirun ends its ranks
                process.wait()
        if code:
            raise RunFailed(f"mpirun ended with code {code}; see its words above.")
        found = load_file(out)
    pairs = zip(found["seconds"].tolist(), found["params"].numpy(), strict=True)
    return Measured(found["gradients_per_s"].item(), list(pairs))

"""What is known of a peer: how it runs, what it needs, which versions are here."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ._load import Load, Measured


def _part_of_torch() -> str:
    """Nothing is missing."""
    return ""


@dataclass(frozen=True)
class Peer:
    """A system that carries a load; missing: what has to be installed first, in words, or ""."""

    carry: Callable[[Load], Measured]
    missing: Callable[[], str] = _part_of_torch


def versions() -> dict[str, str]:
    """Of what the peers are made of, beside torch; "" for what is not installed."""
    found = {}
    for package in ("ray", "mpi4py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    found["mpirun"] = ""
    if shutil.which("mpirun"):
        said = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=False)
        found["mpirun"] = said.stdout.partition("\n")[0].strip()
    return found

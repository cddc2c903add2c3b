"""MNIST (LeCun, Cortes, Burges): find the files, verify them, read them."""

import contextlib
import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

DIGESTS = {
    "train-images-idx3-ubyte.gz": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte.gz": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
"""SHA-256 of each file's decompressed content."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def mnist(train: bool) -> tuple[Tensor, Tensor]:
    """Images, uint8 [n, 28, 28], and labels, int64 [n]: n = 60,000 to train, 10,000 to test.

    Files: the folder `LAGRAD_DATA` if that variable is set, else `data/mnist` of the checkout,
    else a cache (`~/.cache/lagrad/mnist`, or below `XDG_CACHE_HOME`), filled from the public
    mirrors. Read once per process and shared: do not modify.
    Raises: FileNotFoundError or ValueError if a file is missing, damaged or not the published.

    >>> images, labels = mnist(train=False)
    >>> images.shape, labels[:3]
    (torch.Size([10000, 28, 28]), tensor([7, 2, 1]))
    """
    return _read(train)


@cache
def _read(train: bool) -> tuple[Tensor, Tensor]:
    part = "train" if train else "t10k"
    images = _payload(f"{part}-images-idx3-ubyte.gz", header=16).view(-1, 28, 28)
    labels = _payload(f"{part}-labels-idx1-ubyte.gz", header=8).to(torch.int64)
    return images, labels


def _payload(name: str, *, header: int) -> Tensor:
    content = _read_verified(_locate(name), name)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header)


def _read_verified(path: Path, name: str) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(_LARGEST)  # a small file can hold a large one
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"Expected a gzip file at {path}, got a damaged one ({error}); {_REMEDY}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != DIGESTS[name]:
        raise ValueError(
            f"Expected SHA-256 {DIGESTS[name]} of the decompressed {path}, got {digest}; {_REMEDY}"
        )
    return content


#: Of a decompressed file, in bytes; the largest has 47 million.
_LARGEST = 1 << 26

_REMEDY = "delete the file and restore it from the checkout or from a mirror of MNIST."


def _locate(name: str) -> Path:
    chosen = os.environ.get("LAGRAD_DATA")
    if chosen:
        path = Path(chosen) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected {name} in the folder LAGRAD_DATA={chosen}, got no such file; "
                "put the four MNIST files there, or unset LAGRAD_DATA."
            )
        return path
    for folder in Path(__file__).resolve().parents:
        path = folder / "data" / "mnist" / name
        if path.is_file():
            return path
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(cache_home) / "lagrad" / "mnist" / name
    if not path.is_file():
        _download(name, path)
    return path


def _download(name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for mirror in MIRRORS:
        # Processes may download at once: each writes a file of its own, the last rename stays.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=name)
        try:
            with (
                os.fdopen(handle, "wb") as file,
                urllib.request.urlopen(mirror + name, timeout=60) as response,
            ):
                file.write(response.read(_LARGEST))
            _read_verified(Path(temporary), name)
            os.replace(temporary, path)
            return
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}{name}: {error}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    raise FileNotFoundError(
        f"Expected {name} in {path.parent} or on a mirror, got: {'; '.join(failures)}; "
        "put the four MNIST files into a folder and set LAGRAD_DATA to it."
    )

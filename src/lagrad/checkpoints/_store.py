"""Checkpoints in a folder: a file of tensors, and a manifest that says what they are.

The tensors are written first, the manifest last: a checkpoint is there when its manifest is. Both
appear whole (`write_whole`), and SHA-256 tells whether they have stayed so.
"""

import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lagrad.core import Unreadable, decoded

from ._files import sync_folder, write_whole
from ._image import Image

_FORMAT = 1
_MANIFEST = re.compile(r"(\d{8})\.json")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where the logs of the run stood, in bytes; the SHA-256 of the trace up to there."""

    trace: int
    trace_sha256: str
    metrics: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment: at `version`, after `seconds` on its clock.

    number: of the checkpoint, rising. monotonic: the machine's clock then, in seconds.
    image: its memory. elsewhere: of what other processes have of it. position: of its logs.
    """

    number: int
    version: int
    seconds: float
    monotonic: float
    position: Position
    image: Image
    elsewhere: tuple[Image, ...] = ()


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    version: int
    seconds: float
    monotonic: float
    position: Position
    tensors_sha256: str
    tree: Any
    elsewhere: tuple[Any, ...] = ()


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


_sealed = msgspec.json.Decoder(_Sealed)
_manifest = msgspec.json.Decoder(_Manifest)


class _Damaged(Exception):  # noqa: N818 -- it says what is wrong
    pass


def _tensors_of(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.safetensors"


def _manifest_of(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.json"


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; when this returns, it survives a loss of power. Raises: OSError."""
    all_tensors = dict(checkpoint.image.tensors)
    for place, image in enumerate(checkpoint.elsewhere):
        all_tensors |= {_mark(place) + name: each for name, each in image.tensors.items()}
    tensors = save(all_tensors)
    manifest = msgspec.json.encode(
        _Manifest(
            format=_FORMAT,
            version=checkpoint.version,
            seconds=checkpoint.seconds,
            monotonic=checkpoint.monotonic,
            position=checkpoint.position,
            tensors_sha256=hashlib.sha256(tensors).hexdigest(),
            tree=checkpoint.image.tree,
            elsewhere=tuple(image.tree for image in checkpoint.elsewhere),
        )
    )
    sealed = _Sealed(hashlib.sha256(manifest).hexdigest(), msgspec.Raw(manifest))
    write_whole(_tensors_of(folder, checkpoint.number), tensors)
    write_whole(_manifest_of(folder, checkpoint.number), msgspec.json.encode(sealed))


def numbers(folder: Path) -> list[int]:
    """Of the checkpoints in a folder, newest first, whether they are whole or not."""
    found = [_MANIFEST.fullmatch(path.name) for path in folder.iterdir()]
    return sorted((int(match[1]) for match in found if match), reverse=True)


def next_number(folder: Path) -> int:
    """A number above that of every file that a checkpoint has left."""
    found = [re.match(r"\.?(\d{8})\.", path.name) for path in folder.iterdir()]
    return max((int(match[1]) + 1 for match in found if match), default=0)


def whole(folder: Path) -> Iterator[Checkpoint]:
    """The checkpoints that can be relied on, newest first.

    Warns: UserWarning naming each that is refused, and why.
    """
    for number in numbers(folder):
        try:
            yield _read(folder, number)
        except _Damaged as error:
            warnings.warn(f"Checkpoint {number:08d} of {folder} is refused: {error}.", stacklevel=2)


def _read(folder: Path, number: int) -> Checkpoint:
    try:
        sealed = decoded(_sealed.decode, _manifest_of(folder, number).read_bytes())
        content = bytes(sealed.manifest)
        if hashlib.sha256(content).hexdigest() != sealed.sha256:
            raise _Damaged("its manifest is not what was written")
        manifest = decoded(_manifest.decode, content)
        if manifest.format != _FORMAT:
            raise _Damaged(f"it is of format {manifest.format}, this version reads {_FORMAT}")
        tensors = _tensors_of(folder, number).read_bytes()
        if hashlib.sha256(tensors).hexdigest() != manifest.tensors_sha256:
            raise _Damaged("its tensors are not what was written")
        all_tensors = load(tensors)
        elsewhere = tuple(
            Image(tree, _taken_out(all_tensors, _mark(place)))
            for place, tree in enumerate(manifest.elsewhere)
        )
        image = Image(manifest.tree, all_tensors)
    except OSError as error:
        raise _Damaged(f"a file of it cannot be read ({error})") from error
    except (Unreadable, SafetensorError) as error:
        raise _Damaged(f"it cannot be understood ({error})") from error
    return Checkpoint(
        number=number,
        version=manifest.version,
        seconds=manifest.seconds,
        monotonic=manifest.monotonic,
        position=manifest.position,
        image=image,
        elsewhere=elsewhere,
    )


def _mark(place: int) -> str:
    """What the names of tensors begin with that are of a memory elsewhere; no others do."""
    return f"/{place}/"


def _taken_out(tensors: dict[str, Tensor], mark: str) -> dict[str, Tensor]:
    names = [name for name in tensors if name.startswith(mark)]
    return {name.removeprefix(mark): tensors.pop(name) for name in names}


def prune(folder: Path, *, keep: int) -> None:
    """Remove what is older than the last `keep` checkpoints, and what was never finished."""
    kept = numbers(folder)[:keep]
    oldest = kept[-1] if kept else 0
    names = [(path, re.match(r"\.?(\d{8})\.", path.name)) for path in folder.iterdir()]
    old = [path for path, match in names if match and int(match[1]) < oldest]
    # Manifests go first: a checkpoint that is being removed is none any more.
    _remove(folder, [path for path in old if path.suffix == ".json"])
    _remove(folder, [path for path in old if path.suffix != ".json"])
    _remove(folder, [path for path, match in names if match and path.suffix == ".tmp"])


def _remove(folder: Path, paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    if paths:
        sync_folder(folder)

"""Checkpoints on disk: whole or refused by name, also if the power fails at any moment."""

import itertools
import os
import warnings

import pytest
import torch

from lagrad import checkpoints
from lagrad.checkpoints import Checkpoint, Image, Position

POSITION = Position(trace=0, trace_sha256="", metrics=0)


def checkpoint(number: int) -> Checkpoint:
    tensors = {"params": torch.full((40,), float(number))}
    return Checkpoint(
        number=number,
        version=10 * number,
        seconds=0.5 * number,
        monotonic=0.0,
        position=POSITION,
        image=Image({"of": number}, tensors),
        elsewhere=tuple(
            Image({"slice": place}, {"params": torch.full((4,), number + place / 2)})
            for place in range(2)
        ),
    )


def read(folder) -> tuple[list[int], list[str]]:
    """The numbers of the checkpoints that are relied on, each as it was written; the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = list(checkpoints.whole(folder))
    for each in found:
        assert each.image.tree == {"of": each.number}
        assert each.image.tensors["params"].tolist() == [float(each.number)] * 40
        assert set(each.image.tensors) == {"params"}
        for place, image in enumerate(each.elsewhere):
            assert image.tree == {"slice": place}
            assert image.tensors["params"].tolist() == [each.number + place / 2] * 4
        assert len(each.elsewhere) == 2
        assert each.version == 10 * each.number
    return [each.number for each in found], [str(warning.message) for warning in caught]


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        checkpoints.write(tmp_path, checkpoint(number))
    return tmp_path


def test_the_newest_comes_first_and_the_next_number_is_above_all(folder):
    assert read(folder) == ([2, 1, 0], [])
    assert checkpoints.next_number(folder) == 3


def test_the_last_are_kept(folder):
    (folder / ".00000009.json.77.tmp").touch()
    (folder / "model.safetensors").touch()
    checkpoints.prune(folder, keep=2)
    assert read(folder)[0] == [2, 1]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("00000001.json", "00000001.safetensors", "00000002.json", "00000002.safetensors"),
        "model.safetensors",
    ]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_every_truncation_and_every_changed_byte_is_refused_by_name(folder, suffix):
    path = folder / f"00000002.{suffix}"
    content = path.read_bytes()
    damaged = [content[:size] for size in range(len(content))]
    damaged += [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for place in range(len(content))
    ]
    for each in damaged:
        path.write_bytes(each)
        numbers, said = read(folder)
        assert numbers == [1, 0]
        assert len(said) == 1
        assert "Checkpoint 00000002" in said[0]
        assert "is refused" in said[0]


def test_a_checkpoint_without_its_tensors_is_refused(folder):
    (folder / "00000002.safetensors").unlink()
    numbers, [words] = read(folder)
    assert numbers == [1, 0]
    assert "cannot be read" in words


class Disk:
    """What the calls to the system leave on a disk that loses its power after any of them.

    Content that was not brought to disk may be lost, in part or whole, and so may each new name,
    removal and renaming since the folder was: all that a file system may do and no more.
    """

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.calls = []
        self.files = {}
        for name in ("open", "writev", "fsync", "close", "replace", "unlink"):
            monkeypatch.setattr(os, name, self.recorder(name, getattr(os, name)))

    def recorder(self, name, call):
        def recorded(*arguments, **options):
            result = call(*arguments, **options)
            if name == "open":
                self.files[result] = str(arguments[0])
                if arguments[1] & os.O_CREAT:
                    self.calls.append(("create", str(arguments[0])))
            elif name == "writev":
                content = b"".join(bytes(part) for part in arguments[1])[:result]
                self.calls.append(("write", self.files[arguments[0]], content))
            elif name == "fsync":
                self.calls.append(("fsync", self.files[arguments[0]]))
            elif name == "replace":
                self.calls.append(("rename", str(arguments[0]), str(arguments[1])))
            elif name == "unlink":
                self.calls.append(("unlink", str(arguments[0])))
            return result

        return recorded

    def states(self, calls):
        """Every content of the folder that may be found if the power failed after these calls."""
        names, written, settled, pending = {}, {}, set(), []
        for kind, path, *rest in calls:
            match kind:
                case "write":
                    written[path] = written.get(path, b"") + rest[0]
                case "fsync" if path == str(self.folder):
                    self.happen(names, pending)
                    pending = []
                case "fsync":
                    settled.add(path)
                case _:
                    pending.append((kind, path, *rest))
        for happened in itertools.product([True, False], repeat=len(pending)):
            here = dict(names)
            self.happen(here, [each for each, done in zip(pending, happened, strict=True) if done])
            yield {name: written.get(file, b"") for name, file in here.items()}
            for name, file in here.items():
                whole = written.get(file, b"")
                if file not in settled:
                    for content in (b"", whole[: len(whole) // 2], bytes(len(whole))):
                        yield {n: written.get(f, b"") for n, f in here.items()} | {name: content}

    @staticmethod
    def happen(names, changes):
        """The names after these changes, each with the file as which it was created."""
        for kind, path, *rest in changes:
            match kind:
                case "create":
                    names[path] = path
                case "rename":
                    names.pop(path, None)
                    names[rest[0]] = path
                case "unlink":
                    names.pop(path, None)


def test_power_lost_after_any_call_leaves_what_can_be_read(tmp_path, monkeypatch):
    folder, found = tmp_path / "written", tmp_path / "found"
    folder.mkdir()
    found.mkdir()
    kept, states = 2, 0
    with monkeypatch.context() as patch:
        disk = Disk(folder, patch)
        ends = []
        for number in range(4):
            checkpoints.write(folder, checkpoint(number))
            ends.append(len(disk.calls))
            checkpoints.prune(folder, keep=kept)
        ends.append(len(disk.calls) + 1)
    for count in range(len(disk.calls) + 1):
        finished = sum(end <= count for end in ends) - 1
        for state in disk.states(disk.calls[:count]):
            states += 1
            for path in found.iterdir():
                path.unlink()
            for name, content in state.items():
                (found / os.path.basename(name)).write_bytes(content)
            numbers, said = read(found)
            assert not said  # nothing that looks like a checkpoint and is none
            if finished >= 0:
                assert numbers[0] >= finished
    assert finished == 3
    assert states > 100, states


def test_a_file_that_is_renamed_before_it_is_on_disk_would_be_found_out(tmp_path, monkeypatch):
    # The test above can fail: this is how.
    disk = Disk(tmp_path, monkeypatch)
    calls = [
        ("create", "a.tmp"),
        ("write", "a.tmp", b"whole"),
        ("rename", "a.tmp", "a"),
        ("fsync", str(tmp_path)),
    ]
    assert {"a": b""} in list(disk.states(calls[:3]))
    assert {"a": b"wh"} in list(disk.states(calls))
    calls.insert(2, ("fsync", "a.tmp"))
    assert list(disk.states(calls)) == [{"a": b"whole"}]

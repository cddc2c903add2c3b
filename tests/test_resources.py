"""When the machine has no more to give, a run says what it lacks and leaves nothing half done."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lagrad import audit
from lagrad.runtimes import shortage
from lagrad.trace import Lines, Promised, read_trace

HERE = Path(__file__).parent
WANTED = {
    "disk, simulator": "room on the disk",
    "disk, local": "room on the disk",
    "disk, sessions": "room on the disk",
    "disk, at the end": "room on the disk",
    "shared memory": "room in the shared memory",
    "descriptors": "a free file descriptor",
    "folder": "a folder that can be written",
}
DISK = [kind for kind in WANTED if kind.startswith("disk")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("short")


@pytest.fixture(scope="module")
def told(folder):
    done = subprocess.run(
        [sys.executable, HERE / "short_of.py", folder],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", WANTED)
def test_it_says_what_is_lacking_and_what_to_do(told, kind):
    words = told[kind]["words"]
    assert words.startswith(f"Expected {WANTED[kind]}"), words
    assert ", got " in words
    assert "; " in words
    assert told[kind]["kind"] == ("OSError" if kind == "folder" else "RunFailed")


@pytest.mark.parametrize("kind", WANTED)
def test_no_process_no_memory_and_no_descriptor_is_left(told, kind):
    found = {name: told[kind][name] for name in ("processes", "shared", "files")}
    if kind == "shared memory":  # PyTorch does not close what it could not make long enough
        found["files"] = [each for each in found["files"] if "/torch_" not in each]
    assert found == {"processes": 0, "shared": [], "files": []}


@pytest.mark.parametrize("kind", DISK)
def test_what_a_full_disk_leaves_is_whole_or_known_to_be_cut(told, folder, kind):
    run = folder / {"disk, at the end": "end"}.get(kind, kind.removeprefix("disk, "))
    assert not [name for name in told[kind]["left"] if name.endswith(".tmp")]
    assert load_file(run / "checkpoints" / "model.safetensors"), "the last weights are whole"
    said = json.loads((run / "result.json").read_bytes())
    assert said["stopped"] == "failed"
    found = audit(run)
    whole = {promise.name: promise for promise in found.promises}[Promised.WHOLE]
    assert not whole.holds, "nobody takes the trace for a whole one"


def test_the_books_of_a_run_without_descriptors_are_closed(told, folder):
    said = json.loads((folder / "descriptors" / "result.json").read_bytes())
    assert said["stopped"] == "failed"
    *_, last = read_trace(folder / "descriptors" / "trace.jsonl")
    assert type(last).__name__ == "Ended"


def test_lines_stop_at_the_first_error_and_say_it_once(tmp_path):
    lines = Lines(tmp_path / "lines")
    os.dup2(os.open("/dev/full", os.O_WRONLY), lines._file.fileno())
    lines.write(b"first\n")
    with pytest.raises(OSError, match="No space left"):
        lines.flush()
    lines.write(b"second\n")
    lines.flush()
    lines.close()


def test_closing_is_the_last_chance_to_say_it(tmp_path):
    lines = Lines(tmp_path / "lines")
    os.dup2(os.open("/dev/full", os.O_WRONLY), lines._file.fileno())
    lines.write(b"only\n")
    with pytest.raises(OSError, match="No space left"):
        lines.close()
    lines.close()


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "room on the disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "room on the disk"),
        (OSError(errno.EROFS, "Read-only file system"), "a folder that can be written"),
        (OSError(errno.ENFILE, "Too many open files in system"), "a free file descriptor"),
        (MemoryError(), "free memory"),
        (
            RuntimeError(
                "unable to allocate shared memory(shm) for file </torch_1>: No space left on "
                "device (28)"
            ),
            "room in the shared memory",
        ),
        (
            RuntimeError("unable to open shared memory object </torch_1> in read-write mode: (24)"),
            "a free file descriptor",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_each_shortage_has_its_words(error, wanted):
    assert shortage(error).startswith(f"Expected {wanted}")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EPIPE, "Broken pipe"), RuntimeError("unable to (28)x"), ValueError("(28)")],
    ids=repr,
)
def test_other_errors_are_none(error):
    assert shortage(error) is None


def in_a_small_room(kind, command):
    """Run a command where a file system of 256 KiB, or a read-only one, lies at /mnt."""
    options = {"small": "size=256k", "read-only": "ro"}[kind]
    mount = f"mount -t tmpfs -o {options} none /mnt && exec {command}"
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]


def can_mount():
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(in_a_small_room("small", "true"), check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs namespaces, to mount a small file system")
@pytest.mark.parametrize(
    ("kind", "wanted", "code"),
    [("small", "room on the disk", 1), ("read-only", "a folder that can be written", 1)],
)
def test_the_command_on_a_real_file_system(kind, wanted, code):
    command = (
        f"{sys.executable} -c 'from lagrad.cli import main; main()' train quadratic "
        "--runtime simulator --updates 100000 "
        "--out /mnt/run"
    )
    done = subprocess.run(
        in_a_small_room(kind, command),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == code, done.stderr[-2000:]
    assert f"lagrad: Expected {wanted}" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

"""On a machine of many users nobody else can listen to a run, or see its memory."""

import os
import stat
from pathlib import Path

import pytest
import torch

import small_tasks
from lagrad import rules, train
from lagrad.runtimes import Local, Until
from lagrad.runtimes._memory import forget, share


def open_files(pid):
    """Of a process: where each of its descriptors leads, and the path to it."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(file), file
        except FileNotFoundError:
            continue  # closed since


def identity(file):
    found = file.stat()
    return found.st_dev, found.st_ino


def named_sockets(pids):
    """Names under which the processes' sockets can be reached from elsewhere."""
    mine = {link for pid in pids for link, _ in open_files(pid) if link.startswith("socket:")}
    found = []
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[6]}]" in mine and len(fields) > 7:
            found.append(fields[7])  # a path, or an abstract name, which begins with @
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in mine:
                found.append(f"{kind} {fields[1]}")
    return found


def test_processes_of_a_machine_have_nothing_with_a_name():
    seen = {"names": [], "modes": set(), "files": 0}

    def look(run):
        if not run.server.version:
            return
        pids = [os.getpid(), *run.processes.values()]
        before = set(inherited)
        seen["names"] += [name for name in named_sockets(pids) if name not in before]
        for pid in pids:
            for link, file in open_files(pid):
                if identity(file) in others:
                    continue
                if link.startswith(("/dev/shm/", "/memfd:")):
                    seen["modes"].add(stat.S_IMODE(file.stat().st_mode))
                    seen["files"] += 1

    inherited = named_sockets([os.getpid()])
    # Of libraries that other tests have used.
    others = {identity(file) for _, file in open_files(os.getpid()) if file.exists()}
    train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.01),
        runtime=Local(seconds_per_job=0.01),
        workers=2,
        until=Until(updates=60),
        observe=look,
    )
    assert seen["files"]
    assert seen["names"] == []
    assert seen["modes"] == {0o600}


def test_a_socket_with_a_name_is_seen(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as abstract, socket.create_server(("127.0.0.1", 0)) as tcp:
        abstract.bind("\0lagrad-test")
        found = named_sockets([os.getpid()])
        assert "@lagrad-test" in found
        assert any(name.endswith(f":{tcp.getsockname()[1]:04X}") for name in found)


def test_shared_vectors_are_ours_alone():
    place, _ = share("node", 2, torch.zeros(3))
    assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o600
    assert stat.S_IMODE(Path(place.path).parent.stat().st_mode) & 0o077 == 0
    forget(place)
    with pytest.raises(FileNotFoundError):
        place.open()

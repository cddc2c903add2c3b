"""One fork server for a process and for what was forked from it, as long as it lives."""

import subprocess
import sys

SCRIPT = """
import os, select, signal
from multiprocessing import forkserver
from lagrad import _forking

_forking._PRELOADED = "json"  # it imports quickly
server = forkserver._forkserver
_forking.begin_forking()
first = server._forkserver_pid

def start():
    process = _forking.forking().Process(target=print, args=("started",))
    process.start()
    process.join()
    return process.exitcode, server._forkserver_pid

child = os.fork()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
_forking.go_on_forking()
assert start() == (0, first)
ended = os.pidfd_open(first)
os.kill(first, signal.SIGKILL)
select.select([ended], [], [])
code, second = start()
assert code == 0 and second != first, (code, second)
os._exit(3)  # what else is at an end of a process is not looked at
"""


def test_a_forked_process_starts_its_own_from_the_same_place_or_if_that_is_gone_anew():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines() == ["started"] * 2

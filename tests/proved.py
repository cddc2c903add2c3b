"""What every recorded run must bear: its audit, and its replay to the bit."""

from pathlib import Path

import small_tasks
from lagrad import audit, replay
from lagrad.tasks import Task
from lagrad.trace import AnyRecord, read_trace


def prove(out: Path, task: Task = small_tasks.blobs) -> list[AnyRecord]:
    """Hold a run against both; the records of its trace."""
    found = audit(out)
    assert found.holds, [promise.violations for promise in found.promises]
    again = replay(out, task=task)
    assert again.identical, again.differences
    return list(read_trace(out / "trace.jsonl"))

"""Checkpoints of a run in progress: memory copied by the run, written beside it."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import structs

from lagrad.checkpoints import (
    Checkpoint,
    Image,
    next_number,
    prune,
    put_back,
    take,
    write,
)
from lagrad.core import Leave

from ._folder import Folder
from ._journal import Journal, read_journal
from ._keeping import Durability
from ._result import Stopped
from ._run import Run

#: A journal so many times as large as its checkpoint makes the next one due: it would take long to
#: do again, and room.
_OUTGROWN = 16
#: A run that has diverged or failed goes on, if at all, from before it did.
_MAY_GO_ON = (Stopped.TARGET, Stopped.BUDGET, Stopped.INTERRUPTED, Stopped.ENDED)


class Elsewhere(Protocol):
    """Memory of a run that is in other processes: a list of objects."""

    def freeze(self) -> Callable[[], Sequence[object]]:
        """Have it copied as it is now; what is returned brings the copies, in another thread.

        It raises OSError where they cannot be had.
        """
        ...

    def put_back(self, images: Sequence[Image]) -> None:
        """It is as it was when these images were taken."""
        ...


class Keeper:
    """Takes checkpoints when they are due, and puts the run back to the one it goes on from.

    memory: whose image is taken, with the run in it. elsewhere: what other processes have of it.
    A run without a folder keeps nothing. The run stands still for one copy of its memory; a thread
    brings it to disk, one checkpoint at a time: where the disk is slow they come more rarely.
    """

    def __init__(
        self,
        run: Run,
        folder: Folder | None,
        memory: object,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._run = run
        self._memory = memory
        self._elsewhere = elsewhere
        keeping = None if folder is None else folder.keeping
        if keeping is not None and keeping.durability is Durability.NONE:
            keeping = None
        self._folder, self._keeping = folder, keeping
        self._due = 0.0
        self._writer: threading.Thread | None = None
        self._number = self._size = 0
        self._trouble = ""
        self._restored_in = 0.0

    def restore(self, *, journals: bool) -> bool:
        """Put the run back to where its folder was left; False for a new run.

        journals: whether what came after the checkpoint is done again, event by event.
        """
        folder, run = self._folder, self._run
        if folder is None or folder.left is None:
            return False
        left, begun = folder.left, time.monotonic()
        put_back(left.checkpoint.image, self._memory)
        if self._elsewhere is not None:
            self._elsewhere.put_back(left.checkpoint.elsewhere)
        for path in left.journals if journals else ():
            for happening in read_journal(path):
                run.redo(happening)
        run.look_back()
        # The server was struck by what killed it; its record ended there.
        for record in left.killed_by:
            if not run.plan.struck[record.number]:
                run.now = max(run.now, record.time)
                run.struck(record.number, record.worker)
        if left.died_at is not None:
            self._restored_in = time.monotonic() - begun
        return True

    def go_on(self) -> float:
        """The run begins, or goes on after a death, which is noted; where its clock stands.

        It has not stopped for a crash, but for a run that was left alone.
        """
        left = None if self._folder is None else self._folder.left
        if left is None or left.died_at is None:
            return self._run.now
        now = time.monotonic()
        self._run.failures.append(
            f"The server died; it went on from version {self._run.server.version} after "
            f"{now - left.died_at:.2f} s, {self._restored_in:.2f} s of them to restore it"
        )
        return max(self._run.now, left.checkpoint.seconds + now - left.checkpoint.monotonic)

    def begin(self) -> None:
        """The first checkpoint, before anything happens."""
        if self._keeping is not None:
            assert self._folder is not None
            self._number = next_number(self._folder.checkpoints)
            self._keep()

    def keep_time(self) -> None:
        """Take a checkpoint if one is due, and the last has been written."""
        if self._keeping is None or self._run.stopped is not None:
            return
        journal = self._run.journal
        outgrown = journal is not None and journal.size > _OUTGROWN * self._size
        if time.monotonic() < self._due and not outgrown:
            return
        if self._writer is None or not self._writer.is_alive():
            self._keep()

    def end(self) -> None:
        """The last checkpoint of a run that stops, if it may go on; on disk when this returns."""
        if self._keeping is not None:
            self._wait()
            whole = False
            if self._run.stopped in _MAY_GO_ON:
                self._keep()
                whole = self._wait()
            self._close_journal()
            if whole:
                self._remove_journals()

    def _remove_journals(self) -> None:
        """They are long, and the last checkpoint holds what they led to."""
        assert self._folder is not None
        for path in self._folder.checkpoints.glob("*.journal"):
            path.unlink()

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Nothing is written any more, however the run has ended."""
        self._wait()
        self._close_journal()

    def _close_journal(self) -> None:
        if self._run.journal is not None:
            self._run.journal.close()
            self._run.journal = None

    def _keep(self) -> None:
        folder, run, keeping = self._folder, self._run, self._keeping
        assert folder is not None
        assert keeping is not None
        self._wait()
        self._due = time.monotonic() + keeping.every
        bring = None if self._elsewhere is None else self._elsewhere.freeze()
        checkpoint = Checkpoint(
            number=self._number,
            version=run.server.version,
            seconds=run.now,
            monotonic=time.monotonic(),
            position=folder.position(),
            image=take(self._memory),
        )
        self._number += 1
        self._size = sum(values.nbytes for values in checkpoint.image.tensors.values())
        if keeping.durability is Durability.EVERY_STEP:
            self._close_journal()
            run.journal = Journal(folder.checkpoints / f"{checkpoint.number:08d}.journal")
        self._writer = threading.Thread(
            target=self._write, args=(folder, checkpoint, keeping.keep, bring)
        )
        self._writer.start()

    def _write(
        self,
        folder: Folder,
        checkpoint: Checkpoint,
        keep: int,
        bring: Callable[[], Sequence[object]] | None,
    ) -> None:
        try:
            if bring is not None:
                images = tuple(take(each) for each in bring())
                checkpoint = structs.replace(checkpoint, elsewhere=images)
            folder.sync()
            write(folder.checkpoints, checkpoint)
            prune(folder.checkpoints, keep=keep)
        except OSError as error:
            self._trouble = f"Checkpoint {checkpoint.number:08d} could not be written: {error}"

    def _wait(self) -> bool:
        """Until nothing is being written; whether all that was has been."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        trouble, self._trouble = self._trouble, ""
        if trouble:
            self._run.failures.append(trouble)
        return not trouble


def all_leave(run: Run) -> list[Leave]:
    """What tells the server that every worker is gone: none outlives the server's process."""
    return [
        Leave(worker=worker, incarnation=member.incarnation, time=run.now)
        for worker, member in run.server.ledger.members.items()
    ]


def require_memory(memory: object) -> Image:
    """Refuse, by a TypeError, what could not be kept when the time has come."""
    return take(memory)

"""A journal gives back the events that were written, up to where it was torn."""

import math

import pytest
import torch

from lagrad.core import Join, Leave, Pull, Push, Tick
from lagrad.runtimes._journal import Journal, Scored, read_journal
from lagrad.trace import Struck


def push(dtype=torch.float32, *, buffers=None, loss=0.1, size=5):
    values = torch.linspace(-1, 1, size, dtype=torch.float64).to(dtype)
    return Push(
        worker=1,
        incarnation=2,
        sequence=3,
        version=4,
        lease=5,
        values=values,
        loss=loss,
        buffers=buffers,
        time=6.5,
    )


HAPPENINGS = [
    Join(worker=0, incarnation=1, time=0.0),
    Pull(worker=0, incarnation=1, time=0.125, batch_size=7),
    push(),
    push(torch.bfloat16, buffers=torch.arange(3, dtype=torch.float64), loss=None),
    push(torch.float64, loss=math.inf, size=1),
    Tick(time=0.5),
    Struck(1.0, 0, "kill", 2),
    Scored(1.5, 3, {"seconds": 1.5}, {"loss": 0.5, "accuracy": None}),
    Leave(worker=0, incarnation=1, time=2.0),
]


def written(path):
    journal = Journal(path)
    for each in HAPPENINGS:
        (journal.note if isinstance(each, Struck | Scored) else journal.event)(each)
    journal.close()
    return path


def assert_same(found, wanted):
    assert type(found) is type(wanted)
    if not isinstance(wanted, Push):
        assert found == wanted
        return
    for name in wanted.__struct_fields__:
        one, other = getattr(found, name), getattr(wanted, name)
        if isinstance(other, torch.Tensor):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
        else:
            assert one == other


def test_what_was_written_is_read(tmp_path):
    found = list(read_journal(written(tmp_path / "journal")))
    for one, other in zip(found, HAPPENINGS, strict=True):
        assert_same(one, other)


def test_a_loss_that_is_no_number_stays_one(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.event(push(loss=math.nan))
    [found] = read_journal(tmp_path / "journal")
    journal.close()
    assert math.isnan(found.loss)


def test_torn_anywhere_the_frames_before_are_there_and_no_other(tmp_path):
    content = written(tmp_path / "journal").read_bytes()
    counts = []
    for size in range(len(content) + 1):
        torn = tmp_path / "torn"
        torn.write_bytes(content[:size])
        found = list(read_journal(torn))
        for one, other in zip(found, HAPPENINGS, strict=False):
            assert_same(one, other)
        counts.append(len(found))
    assert counts == sorted(counts)
    assert set(counts) == set(range(len(HAPPENINGS) + 1))


@pytest.mark.parametrize("place", [0, 5, 11, 12, 30, 200, 500])
def test_a_changed_byte_ends_it(tmp_path, place):
    path = written(tmp_path / "journal")
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    found = list(read_journal(path))
    assert len(found) < len(HAPPENINGS)
    for one, other in zip(found, HAPPENINGS, strict=False):
        assert_same(one, other)


def test_a_journal_is_never_written_over(tmp_path):
    path = written(tmp_path / "journal")
    with pytest.raises(FileExistsError):
        Journal(path)

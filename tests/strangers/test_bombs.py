"""Small files that would become large in memory, and large ones without an end."""

import gzip
import tracemalloc
from contextlib import contextmanager

import pytest

from lagrad.core import Join
from lagrad.runtimes import _journal
from lagrad.tasks import _mnist
from lagrad.trace import read_trace

MEGABYTE = 1 << 20


@contextmanager
def taking_at_most(bound):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < bound
    finally:
        tracemalloc.stop()


def test_a_file_of_mnist_is_not_unpacked_beyond_the_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(_mnist, "_LARGEST", MEGABYTE)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(64 * MEGABYTE)))
    assert path.stat().st_size < MEGABYTE
    with taking_at_most(8 * MEGABYTE), pytest.raises(ValueError, match="Expected SHA-256"):
        _mnist._read_verified(path, path.name)


def test_a_line_of_a_trace_ends_or_is_none(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b'{"is":"' + b"x" * (32 * MEGABYTE))
    with taking_at_most(8 * MEGABYTE), pytest.raises(ValueError, match="Line 1 of"):
        list(read_trace(path))


def test_a_journal_that_ends_in_zeros_ends_before_them(tmp_path):
    journal = _journal.Journal(tmp_path / "journal")
    journal.event(Join(worker=0))
    journal.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(bytes(4096))
    assert list(_journal.read_journal(tmp_path / "journal")) == [Join(worker=0)]

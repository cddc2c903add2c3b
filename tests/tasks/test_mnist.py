import gzip
import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from lagrad.tasks import _mnist, mnist

LABELS = "t10k-labels-idx1-ubyte.gz"
CHECKOUT = Path(_mnist.__file__).parents[3] / "data" / "mnist"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of our own with the (smaller) test files, chosen by LAGRAD_DATA."""
    for name in (LABELS, "t10k-images-idx3-ubyte.gz"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    monkeypatch.setenv("LAGRAD_DATA", str(tmp_path))
    _mnist._read.cache_clear()
    yield tmp_path
    _mnist._read.cache_clear()


@pytest.mark.parametrize(("train", "count"), [(True, 60_000), (False, 10_000)])
def test_shapes_types_and_counts(train, count):
    images, labels = mnist(train)
    assert images.shape == (count, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.shape == (count,)
    assert labels.dtype == torch.int64
    assert labels.unique().tolist() == list(range(10))
    assert mnist(train=train)[0] is images


def test_the_chosen_folder_is_read(folder):
    (folder / LABELS).write_bytes(gzip.compress(gzip.decompress((CHECKOUT / LABELS).read_bytes())))
    assert mnist(False)[1][0] == 7


def test_a_missing_file(folder):
    (folder / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{LABELS} in the folder LAGRAD_DATA.*unset"):
        mnist(False)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"x" * 1000)[:-9], b""])
def test_a_damaged_file(folder, content):
    (folder / LABELS).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{LABELS}.*delete the file"):
        mnist(False)


def test_a_damaged_body(folder):
    content = bytearray((folder / LABELS).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / LABELS).write_bytes(content)
    with pytest.raises(ValueError, match=LABELS):
        mnist(False)


def test_a_wrong_digest(folder):
    (folder / LABELS).write_bytes(gzip.compress(b"other data"))
    got = hashlib.sha256(b"other data").hexdigest()
    with pytest.raises(ValueError, match=rf"{_mnist.DIGESTS[LABELS]} .*{LABELS}, got {got}"):
        mnist(False)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No checkout: the cache lies below tmp_path, and the mirrors are folders."""
    monkeypatch.delenv("LAGRAD_DATA", raising=False)
    monkeypatch.setattr(_mnist, "__file__", str(tmp_path / "site" / "lagrad" / "_mnist.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mirrors = [tmp_path / "bad", tmp_path / "good"]
    for mirror in mirrors:
        mirror.mkdir()
    (mirrors[0] / LABELS).write_bytes(gzip.compress(b"other data"))
    monkeypatch.setattr(_mnist, "MIRRORS", tuple(m.as_uri() + "/" for m in mirrors))
    return tmp_path


def test_without_a_checkout_the_files_are_downloaded_once(elsewhere):
    shutil.copy(CHECKOUT / LABELS, elsewhere / "good" / LABELS)
    path = _mnist._locate(LABELS)
    assert path == elsewhere / "cache" / "lagrad" / "mnist" / LABELS
    assert path.read_bytes() == (CHECKOUT / LABELS).read_bytes()
    assert list(path.parent.iterdir()) == [path]
    (elsewhere / "good" / LABELS).unlink()
    assert _mnist._locate(LABELS) == path


def test_no_mirror_has_the_file(elsewhere):
    with pytest.raises(FileNotFoundError, match=r"bad/.*SHA-256.*good/.*set LAGRAD_DATA"):
        _mnist._locate(LABELS)
    assert list((elsewhere / "cache" / "lagrad" / "mnist").iterdir()) == []

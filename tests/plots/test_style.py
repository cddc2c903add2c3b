"""How figures are written."""

from pathlib import Path

import pytest

from lagrad.plots._style import figure


def draw(path: Path) -> None:
    with figure(path) as drawing:
        drawing.subplots().plot([1, 2])


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "figure.svg"
    draw(path)
    before = path.read_bytes()

    def full(file, content):
        with file.open("wb") as opened:
            opened.write(content[:10])
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="no space left"):
            draw(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]

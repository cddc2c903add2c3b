"""Every experiment in its quick form: all cells, figures and verdicts, and nothing twice."""

from contextlib import contextmanager

import pytest

from lagrad import experiments

pytestmark = [pytest.mark.experiments, pytest.mark.timeout(400)]


@contextmanager
def forbidden(title, cells):
    assert cells == 0, f"{title} computes again"
    yield lambda: None


@contextmanager
def silent(title, cells):
    del title, cells
    yield lambda: None


@pytest.mark.parametrize("name", experiments.NAMES)
def test_an_experiment_gives_tables_figures_and_verdicts(name, tmp_path):
    experiment = experiments.find(name)
    assert experiment.name == name
    found = experiments.reproduce(experiment, tmp_path, quick=True, processes=2, progress=silent)
    for study in experiment.studies:
        assert len(found.tables[study.name]) >= 1
        assert (tmp_path / f"{study.name}.csv").is_file()
    assert len(found.figures) == 2 * len(experiment.figures) >= 2
    assert all(figure.stat().st_size > 1000 for figure in found.figures)
    assert found.verdicts
    words = (tmp_path / "report.md").read_text()
    assert all(verdict.claim in words for verdict in found.verdicts)
    assert "nan" not in words
    again = experiments.reproduce(experiment, tmp_path, quick=True, processes=2, progress=forbidden)
    assert again.verdicts == found.verdicts

"""A run of `lagrad run` that several tests look at."""

import pytest

import small_scripts
from lagrad.sessions import Launch, launch


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Two workers, a scheduler, four epochs and scores: the result, and who printed what."""
    folder = tmp_path_factory.mktemp("trained")
    path = small_scripts.write(
        folder, rule="rules.Momentum(lr=0.2, momentum=0.5)", scores=small_scripts.SCORES
    )
    lines = []
    result = launch(
        Launch(script=path, workers=2, out=folder / "run"),
        echo=lambda worker, line: lines.append((worker, line)),
    )
    return result, lines

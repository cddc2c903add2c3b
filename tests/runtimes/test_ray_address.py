"""An address where no Ray cluster is."""

import socket

import pytest

import small_tasks
from lagrad import train
from lagrad.runtimes import Ray, RunFailed, Until


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (None, "No Ray cluster answers at .* within 0.5 s"),
        ("ray://127.0.0.1:10001", "of Ray's client"),
    ],
)
def test_an_address_that_does_not_answer_is_told_quickly(address, words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = address or f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunFailed, match=words):
            train(
                small_tasks.blobs,
                runtime=Ray(address, patience=0.5),
                workers=1,
                until=Until(updates=1),
            )

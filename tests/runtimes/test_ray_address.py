"""An address where no Ray cluster is."""

import socket
import threading

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


def test_a_cluster_that_wants_a_token_says_so(monkeypatch):
    ray = pytest.importorskip("ray")

    def refused(**options):
        # As Ray 2.60 puts it.
        cause = RuntimeError("Failed to connect to GCS. ... RPC error: InvalidAuthToken: ...")
        raise ConnectionError("Failed to connect to Ray cluster at auto") from cause

    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(RunFailed, match=r"Expected the token .* set RAY_AUTH_MODE=token"):
        train(small_tasks.blobs, runtime=Ray("auto"), workers=1, until=Until(updates=1))


def test_a_server_of_something_else_is_told_quickly():
    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.0 400 Bad Request")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RunFailed, match="is none of Ray"):
            train(
                small_tasks.blobs,
                runtime=Ray(address, patience=5.0),
                workers=1,
                until=Until(updates=1),
            )

"""How a script's process and the server know that they belong to one run."""

import hmac
import secrets
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from typing import Literal

_BYTES = 32


def recognise(connection: Connection, key: bytes, *, side: Literal["server", "script"]) -> None:
    """Prove to the other side that we have the key, and see that it has; neither shows it.

        proof = HMAC-SHA256(key, side | own random 32 bytes | the other's 32 random bytes)

    A proof of another connection or of the other side is none: both sides' bytes are in it, new
    for each connection. Proofs are compared in constant time.
    Raises: AuthenticationError for a stranger; EOFError or OSError for one that says too much, or
    nothing for long on a `bounded` connection.
    """
    own = secrets.token_bytes(_BYTES)
    connection.send_bytes(own)
    theirs = connection.recv_bytes(_BYTES)
    if len(theirs) != _BYTES:
        raise AuthenticationError("the other side began with something else")
    other = "script" if side == "server" else "server"
    connection.send_bytes(_proof(key, side, own, theirs))
    if not hmac.compare_digest(connection.recv_bytes(_BYTES), _proof(key, other, theirs, own)):
        raise AuthenticationError("the other side does not have the run's key")


def _proof(key: bytes, side: str, own: bytes, theirs: bytes) -> bytes:
    return hmac.digest(key, side.encode() + own + theirs, "sha256")

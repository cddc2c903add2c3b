"""Connections between processes of one machine, on which nobody can say too much or half of it."""

import socket
import struct
from multiprocessing.connection import Connection

#: The largest message that is read, in bytes; the names of a model with a million layers fit.
LARGEST = 1 << 24
#: How long the rest of a message may take once its beginning is there, in whole seconds.
_TIMEOUT_S = 5


def bounded(connection: Connection) -> Connection:
    """The connection, whose reads and writes from now on fail instead of waiting for long.

    Whoever reads has seen that something is there to be read, so that only a peer that stops in
    the middle of a message, or does not read what it is told, makes them fail: by an OSError.
    """
    with socket.socket(fileno=connection.fileno()) as view:
        try:
            for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                view.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", _TIMEOUT_S, 0))
        finally:
            view.detach()
    return connection


def receive(connection: Connection) -> bytes:
    """The next message. Raises: EOFError at the end, OSError for one that is too long."""
    return connection.recv_bytes(LARGEST)

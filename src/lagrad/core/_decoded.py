"""Reading what another process or an older run wrote: a value of its type, or one error."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")


class Unreadable(ValueError):  # noqa: N818 -- it says what the content is
    """Content that is none of the kind that was expected."""


def decoded(decode: Callable[[Any], _T], content: Any) -> _T:
    """What msgspec's `decode` makes of the content.

    Raises: Unreadable for whatever is none: no such message, no text, nested without end.

    >>> decoded(msgspec.json.Decoder(int).decode, b"7")
    7
    >>> decoded(msgspec.json.Decoder(int).decode, b"seven")
    Traceback (most recent call last):
    ...
    lagrad.core._decoded.Unreadable: JSON is malformed: invalid character (byte 0)
    """
    try:
        return decode(content)
    # The second is raised for bytes that are no UTF-8, the third for brackets within brackets.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error

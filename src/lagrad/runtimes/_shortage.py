"""What the machine lacks, in words that say what to do."""

import errno
import re

_DISK = ("room on the disk for the files of a run", "make room, or name a folder elsewhere")
_SHARED = ("room in the shared memory", "enlarge /dev/shm (docker run --shm-size), or free some")
_FILES = ("a free file descriptor", "raise the limit (ulimit -n), or take fewer workers")
_MEMORY = ("free memory", "take fewer workers, or a smaller model")
_FOLDER = ("a folder that can be written", "name another one, or change its permissions")

_BY_NUMBER = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _DISK),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _FILES),
    errno.ENOMEM: _MEMORY,
    errno.EROFS: _FOLDER,
}
#: PyTorch tells of shared memory by the words of a RuntimeError, the number in brackets.
_OF_TORCH = re.compile(r"unable to (?:\w+ )+?.*\((\d+)\)\s*$", re.DOTALL)


def shortage(error: BaseException) -> str | None:
    """What is lacking and what to do, if the error says that something is; else None.

    >>> shortage(OSError(errno.EMFILE, "Too many open files")).partition(",")[0]
    'Expected a free file descriptor'
    >>> shortage(ValueError("no number")) is None
    True
    """
    if isinstance(error, OSError):
        found = _BY_NUMBER.get(error.errno or 0)
    elif isinstance(error, MemoryError):
        found = _MEMORY
    else:
        told = _OF_TORCH.match(str(error)) if type(error) is RuntimeError else None
        found = None if told is None else _BY_NUMBER.get(int(told[1]))
        found = _SHARED if found is _DISK else found
    if found is None:
        return None
    wanted, advice = found
    return f"Expected {wanted}, got {_line(error)}; {advice}."


def unwritable(error: OSError) -> OSError:
    """An error of making a folder or a file, in such words."""
    wanted, advice = _FOLDER
    return OSError(shortage(error) or f"Expected {wanted}, got {_line(error)}; {advice}.")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Which memory of a private view a process has written itself."""

import mmap
import os

from torch import Tensor

#: For each page of this process eight bytes, the last of which tells what lies there.
_PAGEMAP = "/proc/self/pagemap"
#: What it says of a page that is nobody's yet, or everybody's: it is neither here (128) nor
#: swapped out (64), or a file's (32). A page that is written becomes the process's own.
_OTHERS = bytes(state for state in range(256) if state < 64 or state & 32)


def tells() -> bool:
    """Whether the kernel answers `written`."""
    return os.access(_PAGEMAP, os.R_OK)


def written(view: Tensor) -> bool:
    """Whether this process has written to a page of a private view [P] of a file's memory.

    Also what was there before: from then on the page shows nothing of what others write.

    view: of a length above 0.

    >>> import torch
    >>> file = os.memfd_create("example")
    >>> os.ftruncate(file, 8)
    >>> view = torch.frombuffer(mmap.mmap(file, 8, flags=mmap.MAP_PRIVATE), dtype=torch.float64)
    >>> view.item(), written(view)
    (0.0, False)
    >>> view[0] = 0.0
    >>> written(view)
    True
    >>> os.close(file)
    """
    first = view.data_ptr() // mmap.PAGESIZE
    end = -(-(view.data_ptr() + view.nbytes) // mmap.PAGESIZE)
    with open(_PAGEMAP, "rb", buffering=0) as pages:
        pages.seek(8 * first)
        told = pages.read(8 * (end - first))
    return len(told) < 8 * (end - first) or bool(told[7::8].translate(None, _OTHERS))

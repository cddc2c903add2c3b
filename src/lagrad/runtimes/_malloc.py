"""How processes that are started get their memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def roomy_malloc() -> Iterator[None]:
    """Processes started inside keep freed memory instead of giving it back to the kernel.

    Activations of some megabytes are taken and freed in every gradient; by default glibc asks the
    kernel for them anew each time, which then has to zero the pages.
    """
    wanted = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]

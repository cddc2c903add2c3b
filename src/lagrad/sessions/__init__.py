"""Training scripts as workers: `lagrad.join()` in the script, `lagrad run` around it."""

from ._join import join as join
from ._launch import launch as launch
from ._session import Session as Session
from ._terms import Launch as Launch

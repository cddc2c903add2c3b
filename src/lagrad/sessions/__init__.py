"""Training scripts as workers: `lagrad.join()` in the script, `lagrad run` around it."""

from ._join import join as join
from ._launch import launch as launch
from ._launch import prepare as prepare
from ._resume import prepare_resume as prepare_resume
from ._resume import resume as resume
from ._session import Session as Session
from ._terms import Launch as Launch

"""What a run remembers, as data, and files that are whole or not there."""

from ._files import append as append
from ._files import sync_folder as sync_folder
from ._files import write_whole as write_whole
from ._image import Image as Image
from ._put_back import put_back as put_back
from ._store import Checkpoint as Checkpoint
from ._store import Position as Position
from ._store import next_number as next_number
from ._store import prune as prune
from ._store import whole as whole
from ._store import write as write
from ._take import take as take

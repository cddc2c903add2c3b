"""A batch on the device where it is needed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def moved(batch: Any, device: torch.device | None) -> Any:
    """The batch with its tensors on `device`: in tuples, lists, mappings, or what has a `to`.

    What else there is in it stays as it is. device: None for where the batch is.

    >>> moved(({"x": torch.ones(2)}, "name"), torch.device("meta"))
    ({'x': tensor(..., device='meta', size=(2,))}, 'name')
    """
    if device is None:
        return batch
    match batch:
        case Tensor():
            return batch.to(device, non_blocking=True)
        case Mapping():
            return {key: moved(value, device) for key, value in batch.items()}
        case tuple() if hasattr(batch, "_fields"):
            return type(batch)(*(moved(part, device) for part in batch))
        case tuple() | list():
            return type(batch)(moved(part, device) for part in batch)
    return batch.to(device) if hasattr(batch, "to") else batch

"""Which device of this machine is meant."""

import torch

#: Of these, memory is the host's own, or PyTorch has no streams: copies are plain.
_PLAIN = ("cpu", "mps", "meta")


def has_streams(device: torch.device) -> bool:
    """Whether copies to and from a device pass page-locked memory, on a stream.

    >>> has_streams(torch.device("cpu"))
    False
    """
    return device.type not in _PLAIN


def require_kind(text: str) -> torch.device:
    """A device that lagrad computes on, here or elsewhere, by its name.

    text: as `torch.device` takes it: "cpu", "cuda", "cuda:1".
    Raises: ValueError for what is none.

    >>> require_kind("cuda:1").type
    'cuda'
    """
    name: object = text
    if not isinstance(name, str):  # it is written down with the run
        raise ValueError(
            f"Expected a device's name, such as 'cpu' or 'cuda:1', got {text!r}; give a str."
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"Expected a device such as 'cpu', 'cuda' or 'cuda:1', got {text!r} ({error}); "
            "name one as torch.device does."
        ) from error
    if device.type != "cpu" and not has_streams(device):
        raise ValueError(
            f"Expected a device with streams and page-locked memory, such as 'cuda', or 'cpu', "
            f"got {text!r}; scripts under `lagrad run` may use it."
        )
    return device


def own_accelerator(text: str, worker: int) -> torch.device | None:
    """As `accelerator`, which is this process's current one from now on."""
    device = accelerator(text, worker)
    if device is not None:
        torch.accelerator.set_device_index(device)
    return device


def accelerator(text: str, worker: int = 0) -> torch.device | None:
    """The accelerator that is meant, which must be there; None for the processor.

    text: as of `require_kind`; of a kind without a number, workers get one after the other in turn.
    worker: from 0.
    Raises: ValueError for what is no device, or is not here.

    >>> accelerator("cpu") is None
    True
    """
    device = require_kind(text)
    if device.type == "cpu":
        return None
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or found.type != device.type:
        has = "no accelerator" if found is None else f"only {found.type}"
        raise ValueError(
            f"Expected a device that is here, got {text!r}, where PyTorch {torch.__version__} "
            f"finds {has}; install its driver and the build of PyTorch for it, or use 'cpu'."
        )
    there = torch.accelerator.device_count()
    if device.index is None:
        return torch.device(device.type, worker % there)
    if device.index >= there:
        raise ValueError(
            f"Expected one of the {there} devices here, counted from 0, got {text!r}; "
            f"with {device.type!r} alone workers take turns."
        )
    return device

"""Gradients in fewer bytes on their way to another host."""

from typing import Literal

import torch
from torch import Tensor

Compression = Literal["bf16", "int8", "topk"]
#: So many values share a scale.
_BLOCK = 4096
#: One value in so many is sent by topk, with its place.
_ONE_IN = 100


def size(how: Compression, numel: int) -> int:
    """Bytes of a compressed vector.

    >>> size("bf16", 1000), size("int8", 5000), size("topk", 1000)
    (2000, 5008, 80)
    """
    match how:
        case "bf16":
            return 2 * numel
        case "int8":
            return numel + 4 * -(-numel // _BLOCK)
        case "topk":
            return 8 * _kept(numel)


def _kept(numel: int) -> int:
    return -(-numel // _ONE_IN)


class Compressor:
    """Compresses the gradients of one worker, one after the other.

        bf16: each value rounded to 8 significant bits, an error of 2^-8 of it at most
        int8: q = round(v / s), s = max |v| / 127 over each 4096 values, v = g + e, e <- v - s q
        topk: the hundredth part of v = g + e that is largest in absolute value; e <- the others

    e: the error feedback [P], what has been left out so far: it is sent later, not lost.
    Source: error feedback as in Seide, Fu, Droppo, Li, Yu 2014 (1-bit SGD), with 8 bits; top-k as
    in Stich, Cordonnier, Jaggi 2018, arXiv:1809.07599.

    >>> compressor = Compressor("int8", torch.zeros(2))
    >>> sent = [compressor(torch.tensor([127.0, 0.3])) for _ in range(2)]
    >>> [expand("int8", each, 2).tolist() for each in sent]
    [[127.0, 0.0], [127.0, 1.0]]
    """

    def __init__(self, how: Compression, like: Tensor) -> None:
        self._how = how
        self._left = torch.zeros_like(like, dtype=torch.float32)

    def __call__(self, gradient: Tensor) -> Tensor:
        """A gradient [P] as bytes: uint8 [size]."""
        if self._how == "bf16":
            return gradient.to(torch.bfloat16).view(torch.uint8)
        values = self._left.add_(gradient)
        if self._how == "topk":
            places = values.abs().topk(_kept(values.numel()), sorted=False).indices
            chosen = values[places]
            if bool(torch.isfinite(chosen).all()):
                values[places] = 0.0
            else:
                values.zero_()  # as below
            return torch.cat([places.to(torch.int32).view(torch.uint8), chosen.view(torch.uint8)])
        padded = torch.zeros(-(-values.numel() // _BLOCK) * _BLOCK)
        padded[: values.numel()] = values
        blocks = padded.view(-1, _BLOCK)
        scales = blocks.abs().amax(dim=1).div_(127.0)
        # Blocks of zeros have the scale 0, and stay zeros.
        quantised = blocks.div(scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None])
        small = quantised.round_().to(torch.int8).view(-1)[: values.numel()]
        sent = torch.cat([scales.view(torch.uint8), small.view(torch.uint8)])
        if bool(torch.isfinite(scales).all()):
            values.sub_(expand("int8", sent, values.numel()))
        else:
            values.zero_()  # the server refuses this gradient; the next ones are as good as ever
        return sent


def expand(how: Compression, sent: Tensor, numel: int) -> Tensor:
    """The gradient that arrives: float32 [numel]. Raises: ValueError for a place beyond it."""
    if how == "bf16":
        return sent.view(torch.bfloat16).float()
    if how == "topk":
        pairs = sent.clone().view(2, 4 * _kept(numel))  # aligned, whatever it lay in
        places, chosen = pairs[0].view(torch.int32).long(), pairs[1].view(torch.float32)
        if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < numel:
            raise ValueError(
                f"Expected places from 0 to {numel - 1} in a compressed gradient, got others; "
                "all processes of a run need the same model."
            )
        return torch.zeros(numel).index_copy_(0, places, chosen)
    blocks = -(-numel // _BLOCK)
    scales = sent[: 4 * blocks].clone().view(torch.float32)
    values = sent[4 * blocks :].view(torch.int8).float()
    return values.mul_(scales.repeat_interleave(_BLOCK)[:numel])

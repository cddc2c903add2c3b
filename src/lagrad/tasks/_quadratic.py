"""Quadratics, where everything is known: the note's parabola, and noisy ill-conditioned ones."""

from collections.abc import Iterable, Mapping
from functools import partial
from math import isfinite

import torch
from torch import Tensor, nn

from ._data import Stream
from ._task import Task


class Quadratic(nn.Module):
    """A point x, float64 [d], and f(x) = 1/2 sum_i lambda_i x_i^2.

    spectrum: lambda, d floats. start: every x_i at the start.

    >>> Quadratic((2.0,), start=8.0)().item()
    64.0
    """

    half_curvature: Tensor

    def __init__(self, spectrum: tuple[float, ...], *, start: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.full((len(spectrum),), start, dtype=torch.float64))
        # Constant, hence not among the buffers that are saved and travel.
        half = torch.tensor(spectrum, dtype=torch.float64) / 2
        self.register_buffer("half_curvature", half, persistent=False)

    def forward(self) -> Tensor:
        """f(x), a scalar."""
        # In this form the gradient, half * x + half * x, is lambda * x to the last bit.
        return (self.half_curvature * self.x).dot(self.x)


def parabola() -> Task:
    """The note's f(x) = x^2 from x = 8, float64, without noise; score: `loss`.

    >>> parabola().model()().item()
    64.0
    """
    return _task("parabola", (2.0,), start=8.0, noise=0.0)


def quadratic(
    *,
    condition: float = 100.0,
    dimension: int = 20,
    noise: float = 0.0,
    spectrum: tuple[float, ...] | None = None,
) -> Task:
    """f(x) = 1/2 sum_i lambda_i x_i^2 from x = (1, ..., 1), float64; score: `loss`, f itself.

        gradient of one lease = Lambda x + noise * xi,    xi ~ N(0, I), drawn from the lease

    condition: >= 1; lambda runs geometrically from 1/condition to 1 (dimension 1: lambda = 1).
    spectrum: lambda itself, positive floats; replaces `condition` and `dimension`.
    noise: >= 0, standard deviation of each element. f starts at sum_i lambda_i / 2.
    Raises: ValueError for an argument outside these ranges.

    >>> quadratic(spectrum=(1.0, 3.0)).model()().item()
    2.0
    """
    if not (isfinite(noise) and noise >= 0):
        raise ValueError(f"Expected noise >= 0, got {noise}; use 0 for none.")
    if spectrum is None:
        spectrum = _geometric_spectrum(condition, dimension)
    elif not spectrum or not all(isfinite(value) and value > 0 for value in spectrum):
        raise ValueError(
            f"Expected a spectrum of positive numbers, got {spectrum}; give one for each dimension."
        )
    return _task("quadratic", tuple(spectrum), start=1.0, noise=noise)


def _geometric_spectrum(condition: float, dimension: int) -> tuple[float, ...]:
    if not (isfinite(condition) and condition >= 1):
        raise ValueError(f"Expected condition >= 1, got {condition}; use 1 for a round bowl.")
    if dimension < 1:
        raise ValueError(f"Expected dimension >= 1, got {dimension}; raise it.")
    if dimension == 1:
        return (1.0,)
    return tuple(float(condition ** (i / (dimension - 1) - 1)) for i in range(dimension))


def _task(name: str, spectrum: tuple[float, ...], *, start: float, noise: float) -> Task:
    return Task(
        name=name,
        model=partial(Quadratic, spectrum, start=start),
        loss=_noisy_value,
        data=partial(_noise_stream, len(spectrum), noise),
        evaluate=_exact_value,
        smoothness=max(spectrum),
        gradients=partial(_gradients, spectrum),
    )


def _noise_stream(dimension: int, noise: float) -> Stream:
    return Stream(
        partial(_draw_noise, dimension, noise), partial(_draw_all_noise, dimension, noise)
    )


def _draw_noise(dimension: int, noise: float, generator: torch.Generator) -> Tensor | None:
    if noise == 0:
        return None
    return noise * torch.randn(dimension, dtype=torch.float64, generator=generator)


def _draw_all_noise(
    dimension: int, noise: float, generators: Iterable[torch.Generator], count: int
) -> Tensor | None:
    if noise == 0:
        return None
    draws = torch.empty((count, dimension), dtype=torch.float64)
    for row, generator in zip(draws.unbind(), generators, strict=True):
        row.normal_(generator=generator)
    return draws.mul_(noise)


def _noisy_value(model: nn.Module, noise: Tensor | None) -> Tensor:
    assert isinstance(model, Quadratic)
    value: Tensor = model()
    return value if noise is None else value + noise.dot(model.x)


def _gradients(
    spectrum: tuple[float, ...],
    points: Mapping[str, Tensor],
    noise: Tensor | None,
    out: Mapping[str, Tensor],
) -> Tensor:
    x, gradient = points["x"], out["x"]
    torch.mul(torch.tensor(spectrum, dtype=x.dtype), x, out=gradient)
    losses = (gradient * x).sum(1).div_(2)
    if noise is not None:
        gradient.add_(noise)
        losses.add_((noise * x).sum(1))
    return losses


def _exact_value(model: nn.Module) -> dict[str, float]:
    return {"loss": model().item()}

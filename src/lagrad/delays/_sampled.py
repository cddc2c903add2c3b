"""Any distribution of SciPy."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ._base import blocks, generator


@dataclass(frozen=True)
class Sampled:
    """Independent draws from any SciPy distribution, the same for every worker.

    distribution: the name and arguments of a continuous distribution of `scipy.stats`, such as
    "lognorm(1.0, scale=0.5)", or the frozen distribution itself.
    Raises: ValueError for a text that is no such distribution, or (when drawing) for a draw that
    is not finite and > 0.

    >>> Sampled("gamma(100, scale=0.01)") == Sampled(scipy.stats.gamma(100, scale=0.01))
    True
    """

    distribution: str

    def __init__(self, distribution: Any) -> None:
        text = distribution if isinstance(distribution, str) else _describe(distribution)
        object.__setattr__(self, "distribution", text)
        self._frozen  # noqa: B018 -- a wrong text is refused here, at the door

    @cached_property
    def _frozen(self) -> Any:
        expected = "Expected a scipy.stats distribution such as 'lognorm(1.0, scale=0.5)'"
        try:
            call = ast.parse(self.distribution, mode="eval").body
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Name)
            family = getattr(scipy.stats, call.func.id)
            assert isinstance(family, scipy.stats.rv_continuous)
            arguments = [ast.literal_eval(node) for node in call.args]
            named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
            frozen = family(*arguments, **named)
        except (SyntaxError, AssertionError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{expected}, got {self.distribution!r}.") from error
        if not np.isfinite(frozen.median()):
            raise ValueError(f"{expected} with arguments in its domain, got {self.distribution!r}.")
        return frozen

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)

        def draw(count: int) -> NDArray[np.float64]:
            numbers = np.asarray(self._frozen.rvs(size=count, random_state=random))
            if not (np.isfinite(numbers) & (numbers > 0)).all():
                raise ValueError(
                    f"Expected a distribution of finite times > 0, but {self.distribution} gave "
                    f"{numbers.min()} to {numbers.max()}."
                )
            return numbers

        return blocks(draw)


def _describe(frozen: Any) -> str:
    try:
        arguments = [repr(argument) for argument in frozen.args]
        arguments += [f"{name}={value!r}" for name, value in frozen.kwds.items()]
        return f"{frozen.dist.name}({', '.join(arguments)})"
    except AttributeError:
        raise ValueError(
            f"Expected a frozen scipy.stats distribution or its text, got {frozen!r}."
        ) from None

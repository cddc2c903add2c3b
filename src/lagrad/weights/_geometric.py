"""A power of a ratio."""

from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Geometric:
    """A gradient's weight is multiplied by `ratio` with every version.

        w(k) = ratio^k

    k: int >= 0, versions. ratio: float in [0, 1] (0: only k = 0 counts; 1: nothing fades).
    Returns: float in [0, 1], w(0) = 1 even for ratio 0.
    Raises: ValueError for a ratio outside [0, 1], or k < 0.
    Source: heavy-ball momentum as a kernel (Polyak 1964), ratio = beta; and gamma_k = gamma n^(-k)
    with ratio = 1/n, called "polynomially" in "Benefits of staleness and asynchrony in machine
    learning algorithms" (Wang, Ma, Jin, 2017). A polynomial of k is `Polynomial`.

    >>> Geometric(ratio=0.5)(3)
    0.125
    """

    ratio: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise ValueError(
                f"Expected a ratio in [0, 1], got {self.ratio}; "
                "weights that grow with age are not meant."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return float(self.ratio**k)

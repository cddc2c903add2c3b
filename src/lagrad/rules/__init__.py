"""Update rules: how gradients move the parameters."""

from ._clipped import Clipped as Clipped
from ._default import default_rule as default_rule
from ._dynamic_momentum import DynamicMomentum as DynamicMomentum
from ._momentum import Momentum as Momentum
from ._projected import Projected as Projected
from ._roll_forward import RollForward as RollForward
from ._sgd import SGD as SGD

__all__ = [
    "SGD",
    "Clipped",
    "DynamicMomentum",
    "Momentum",
    "Projected",
    "RollForward",
    "default_rule",
]

"""Models with their losses and data: the built-in tasks, and what a task of one's own needs."""

from ._constrained import constrained as constrained
from ._data import Samples as Samples
from ._data import Stream as Stream
from ._differentiate import Differentiator as Differentiator
from ._find import BUILT_IN as BUILT_IN
from ._find import find as find
from ._lenet import LeNet as LeNet
from ._lenet import lenet_mnist as lenet_mnist
from ._mnist import mnist as mnist
from ._quadratic import parabola as parabola
from ._quadratic import quadratic as quadratic
from ._softmax import softmax_mnist as softmax_mnist
from ._task import Task as Task

__all__ = [
    "BUILT_IN",
    "Differentiator",
    "LeNet",
    "Samples",
    "Stream",
    "Task",
    "constrained",
    "find",
    "lenet_mnist",
    "mnist",
    "parabola",
    "quadratic",
    "softmax_mnist",
]

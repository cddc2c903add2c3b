"""Update rules: how gradients move the parameters."""

from ._ada_delay import AdaDelay as AdaDelay
from ._clipped import Clipped as Clipped
from ._default import default_rule as default_rule
from ._delay_compensated import DelayCompensated as DelayCompensated
from ._delayed_nesterov import DelayedNesterov as DelayedNesterov
from ._dynamic_momentum import DynamicMomentum as DynamicMomentum
from ._fed_async import FedAsync as FedAsync
from ._gap_aware import GapAware as GapAware
from ._momentum import Momentum as Momentum
from ._paced_momentum import PacedMomentum as PacedMomentum
from ._projected import Projected as Projected
from ._published_momentum import dana_dc as dana_dc
from ._published_momentum import dana_slim as dana_slim
from ._published_momentum import dana_zero as dana_zero
from ._published_momentum import lwp as lwp
from ._published_momentum import lwp_sc as lwp_sc
from ._published_momentum import multi_asgd as multi_asgd
from ._published_momentum import nag_asgd as nag_asgd
from ._published_momentum import ormo as ormo
from ._published_momentum import ormo_da as ormo_da
from ._published_momentum import rfx2 as rfx2
from ._published_momentum import roll_forward as roll_forward
from ._published_momentum import spike_compensation as spike_compensation
from ._published_optimizers import adam as adam
from ._published_optimizers import adamw as adamw
from ._published_optimizers import fadas as fadas
from ._published_optimizers import fed_buff as fed_buff
from ._published_optimizers import nadam as nadam
from ._published_sgd import capped_delay as capped_delay
from ._published_sgd import clipped_asgd as clipped_asgd
from ._published_sgd import dc_asgd as dc_asgd
from ._published_sgd import dc_asgd_adaptive as dc_asgd_adaptive
from ._published_sgd import delay_adaptive as delay_adaptive
from ._published_sgd import staleness_aware as staleness_aware
from ._ringleader import Ringleader as Ringleader
from ._robust import Robust as Robust
from ._roll_forward import RollForward as RollForward
from ._scheduled import Scheduled as Scheduled
from ._scheduled import takes_factor as takes_factor
from ._sgd import SGD as SGD
from ._smega2 import SMEGA2 as SMEGA2
from ._split import Split as Split
from ._throttle import Throttle as Throttle
from ._torch_optimizer import TorchOptimizer as TorchOptimizer
from ._weight_prediction import WeightPrediction as WeightPrediction
from ._worker_momenta import WorkerMomenta as WorkerMomenta
from ._wrapped import Wrapped as Wrapped
from ._yellow_fin import YellowFin as YellowFin

__all__ = [
    "SGD",
    "SMEGA2",
    "AdaDelay",
    "Clipped",
    "DelayCompensated",
    "DelayedNesterov",
    "DynamicMomentum",
    "FedAsync",
    "GapAware",
    "Momentum",
    "PacedMomentum",
    "Projected",
    "Ringleader",
    "Robust",
    "RollForward",
    "Scheduled",
    "Split",
    "Throttle",
    "TorchOptimizer",
    "WeightPrediction",
    "WorkerMomenta",
    "YellowFin",
    "adam",
    "adamw",
    "capped_delay",
    "clipped_asgd",
    "dana_dc",
    "dana_slim",
    "dana_zero",
    "dc_asgd",
    "dc_asgd_adaptive",
    "default_rule",
    "delay_adaptive",
    "fadas",
    "fed_buff",
    "lwp",
    "lwp_sc",
    "multi_asgd",
    "nadam",
    "nag_asgd",
    "ormo",
    "ormo_da",
    "rfx2",
    "roll_forward",
    "spike_compensation",
    "staleness_aware",
]

"""One instance of everything that is a value: the contracts run over these lists."""

from scipy import stats

from lagrad import aggregations, chaos, delays, schedules, sets, weights

WEIGHTS = [
    weights.Constant(),
    weights.CutOff(),
    weights.CutOff(last=5),
    weights.Exponential(),
    weights.Exponential(rate=0.0),
    weights.Geometric(),
    weights.Geometric(ratio=0.0),
    weights.Geometric(ratio=1 / 8),
    weights.Geometric(ratio=1),
    weights.Hinge(),
    weights.Hinge(slope=0.25, start=0),
    weights.Inverse(),
    weights.Inverse(scale=8.0),
    weights.Inverse(offset=0),
    weights.Inverse(scale=0.5, offset=0, full=4),
    weights.Polynomial(),
    weights.Polynomial(power=2),
]

SCHEDULES = [
    schedules.Constant(lr=0.1),
    schedules.Constant(lr=0),
    schedules.Cosine(lr=0.1, updates=50),
    schedules.Cosine(lr=0.1, updates=1, floor=0.1),
    schedules.InverseTime(strong_convexity=0.5),
    schedules.Step(lr=0.1, at=(20, 60)),
    schedules.Step(lr=0.1, at=()),
    schedules.Warmup(schedules.Constant(lr=0.1), updates=10),
    schedules.Warmup(schedules.Cosine(lr=0.1, updates=50, floor=0.01), updates=5),
]

SETS = [
    sets.Ball(radius=1.0),
    sets.Ball(radius=0.5, center=-2.0),
    sets.Ball(radius=0.0, center=1.0),
    sets.Box(low=-0.5, high=1.5),
    sets.Box(low=1.0, high=float("inf")),
    sets.NonNegative(),
    sets.Simplex(),
    sets.Simplex(total=3.0),
]

DELAYS = [
    delays.Bursts(),
    delays.Bursts(probability=0.2, factor=3.0, base=delays.Bursts(base=delays.Equal())),
    delays.Equal(),
    delays.Factors(factors=((0, 6.0), (2, 0.5))),
    delays.Factors(factors=((1, 2.0),), base=delays.Pareto()),
    delays.Gamma(),
    delays.HeterogeneousGamma(),
    delays.Pareto(shape=3.0),
    delays.Recorded(durations=((1.0, 2.0, 0.5), (3.0,), (0.25, 0.75), (1.0,))),
    delays.Sampled("lognorm(1.0, scale=0.5)"),
    delays.Sampled(stats.gamma(100, scale=0.01)),
    delays.ShiftedExponential(),
    delays.ShiftedExponential(shift=0.0),
    delays.Stragglers(),
    delays.Stragglers(workers=(3,), factor=2.0, base=delays.HeterogeneousGamma()),
]

FAULTS = [
    chaos.Drop(p=0.1),
    chaos.Drop(p=1.0, worker=1),
    chaos.Duplicate(p=0.1),
    chaos.Kill(0, at=3.0),
    chaos.Nan(p=0.2, worker=2),
    chaos.Pause(1, at=0.5, seconds=2.5),
    chaos.Pause(2),
    chaos.Preempt(1, at=2.0),
    chaos.Slow(3, factor=5.0),
]

AGGREGATIONS = [
    aggregations.CoordinateMedian(),
    aggregations.Krum(),
    aggregations.Krum(byzantine=2, chosen=3),
    aggregations.TrimmedMean(),
    aggregations.TrimmedMean(trim=2),
]

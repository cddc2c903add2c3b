"""One instance of every rule and of its variants; the contract tests run over all of them."""

from lagrad import rules, schedules, sets, weights

LOOKAHEADS = [rules.RollForward(), rules.RollForward(reach=2.0, fill=1.7)]

RULES = [
    rules.SGD(lr=0.1),
    rules.SGD(lr=schedules.InverseTime(2.0), weight=weights.Inverse(2.0), weight_decay=0.01),
    rules.Momentum(lr=0.1, momentum=0.9),
    rules.Momentum(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    rules.Momentum(lr=schedules.Cosine(0.1, 20), momentum=0.5, weight=weights.Polynomial()),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.9)),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.9), memory="recursion"),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Exponential(0.5), weight=weights.Inverse()),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.125), horizon=1),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.8), horizon=0),
    rules.DynamicMomentum(lr=0.1, kernel=weights.CutOff(2), memory="ring"),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Hinge(1.0, 2), horizon=6, catch_up=0.5),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Polynomial(1.0), weight_decay=0.01),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Polynomial(2.0), memory="exponentials"),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.8), memory="history"),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.8), catch_up=1.0, bucket=3),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.8), lookahead=LOOKAHEADS[0]),
    rules.DynamicMomentum(lr=0.1, kernel=weights.Geometric(0.8), lookahead=LOOKAHEADS[1]),
    rules.default_rule(4, lr=schedules.Warmup(schedules.Constant(0.1), 5)),
    rules.Clipped(rules.Momentum(lr=0.1)),
    rules.Clipped(rules.SGD(lr=0.1), factor=0.5),
    rules.Projected(rules.Momentum(lr=0.1), onto=sets.Ball(10.0)),
    rules.Projected(rules.default_rule(4, lr=0.1), onto=sets.Ball(10.0)),
]

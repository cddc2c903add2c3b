"""Every published rule once more: plain NumPy, straight from its equations, slow on purpose.

A reference is fed the arrivals of one step after another and says what is sent then. It keeps
what is nearest to the paper: momenta at the workers, whole histories, dictionaries. x: parameters,
t: steps taken, lr: eta, m: momentum, n: number of workers, ahead: steps until the next arrival.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Arrival:
    """g [P], the mean over `samples`; sent [P], what its worker computed it at."""

    worker: int
    tau: int
    g: np.ndarray
    sent: np.ndarray
    samples: int = 1


def in_full(tau):
    return 1.0


def mean(arrivals, weigh=in_full):
    """The step's gradient, by samples: a weight of 1/2 moves half as far."""
    total = sum(arrival.samples for arrival in arrivals)
    return sum(a.samples * weigh(a.tau) * a.g for a in arrivals) / total


class Reference:
    """Settings by name, of which `lr` may be set anew between two steps; then one vector x."""

    lr = 1.0
    weigh = staticmethod(in_full)

    def __init__(self, start, **settings):
        self.x, self.before, self.t = start.copy(), start.copy(), 0
        self.zero = np.zeros_like(start)
        vars(self).update(settings)
        self.begin()

    def begin(self):
        pass

    def step(self, arrivals):
        self.before = self.x
        self.x = self.moved(arrivals)
        self.t += 1

    def moved(self, arrivals):
        """By the one gradient; by the mean of several, as late as the latest."""
        if len(arrivals) > 1:
            tau = max(arrival.tau for arrival in arrivals)
            arrivals = [Arrival(worker=-1, tau=tau, g=mean(arrivals), sent=np.nan)]
        return self.moved_by(arrivals[0])

    def point(self, ahead):
        return self.x


class ASGD(Reference):
    def moved(self, arrivals):
        return self.x - self.lr * mean(arrivals, self.weigh)


def zhang(tau):
    return 1 / max(1, tau)


def mishchenko(n):
    """lr M / max(M, tau), where tau counts the gradient's own update."""
    return lambda tau: n / max(n, tau + 1)


def bounded_rate(last, lr, smoothness):
    """eta up to the last tau, then min{eta, 1/(4 L tau)}; over eta."""
    return lambda tau: 1.0 if tau <= last else min(lr, 1 / (4 * smoothness * tau)) / lr


class FedAsync(Reference):
    """The worker's new model is what it was sent, less g."""

    def moved_by(self, arrival):
        share = self.mixing * (arrival.tau + 1) ** -self.power
        return (1 - share) * self.x + share * (arrival.sent - arrival.g)


class AdaDelay(Reference):
    """alpha_0 / (L + c_j sqrt(t + tau)), L = 1, c_j over the whole history, t from 1."""

    def begin(self):
        self.history = []

    def moved_by(self, arrival):
        self.history.append(arrival)
        t = len(self.history)
        c = np.sqrt(sum(i / (i + a.tau) * a.g**2 for i, a in enumerate(self.history, 1)) / t)
        return self.x - self.lr / (1 + c * math.sqrt(t + arrival.tau)) * arrival.g


class Ball(Reference):
    """Heavy ball, or Nesterov in Bengio's form."""

    nesterov = False

    def begin(self):
        self.v = self.zero

    def moved(self, arrivals):
        g = mean(arrivals, self.weigh)
        self.v = self.m * self.v + g
        return self.x - self.lr * (self.m * self.v + g if self.nesterov else self.v)


class MultiASGD(Reference):
    """A momentum for each worker. When the rate changes, eta v stays."""

    def begin(self):
        self.v, self.last_lr = {}, self.lr

    def corrected(self, arrival):
        return arrival.g

    def moved_by(self, arrival):
        self.v = {i: v * (self.last_lr / self.lr) for i, v in self.v.items()}
        self.last_lr = self.lr
        own = self.m * self.v.get(arrival.worker, self.zero) + self.corrected(arrival)
        self.v[arrival.worker] = own
        return self.x - self.lr * own


class DanaZero(MultiASGD):
    def point(self, ahead):
        return self.x - self.last_lr * self.m * sum(self.v.values(), self.zero)


class DanaSlim(Reference):
    """Worker: v <- m v + g, sends m v + g. Server: x <- x - eta (m v + g).

    The worker knows the rate: when it changes, eta v stays.
    """

    def begin(self):
        self.at_worker = {}

    def moved_by(self, arrival):
        v, rate = self.at_worker.get(arrival.worker, (self.zero, self.lr))
        v = self.m * v * (rate / self.lr) + arrival.g
        self.at_worker[arrival.worker] = v, self.lr
        return self.x - self.lr * (self.m * v + arrival.g)


class DanaDC(DanaZero):
    """DANA-Zero on adaptively compensated gradients."""

    square = 0.0

    def corrected(self, arrival):
        self.square = self.decay * self.square + (1 - self.decay) * arrival.g**2
        return compensated(arrival, self.x, self.strength / np.sqrt(self.square + 1e-7)).g


def compensated(arrival, x, strength):
    return replace(arrival, g=arrival.g + strength * arrival.g**2 * (x - arrival.sent))


class DCASGD(Reference):
    """DC-ASGD-c."""

    def moved(self, arrivals):
        return self.x - self.lr * mean([compensated(a, self.x, self.strength) for a in arrivals])


class AdaptiveDCASGD(Reference):
    """DC-ASGD-a: MeanSquare takes in the gradient first."""

    square = 0.0

    def moved_by(self, arrival):
        self.square = self.decay * self.square + (1 - self.decay) * arrival.g**2
        strength = self.strength / np.sqrt(self.square + 1e-7)
        return self.x - self.lr * compensated(arrival, self.x, strength).g


class GapAware(Reference):
    """A takes in the square of the momentum before this gradient, which is zero at first.

    Without momentum, the square of this gradient. Then g over 1 + |gap| / C.
    """

    def begin(self):
        self.v, self.a, self.largest_lr = self.zero, self.zero, 0.0

    def moved_by(self, arrival):
        self.largest_lr = max(self.largest_lr, self.lr)
        size = self.v if self.m else arrival.g
        self.a = self.decay * self.a + (1 - self.decay) * size**2
        root = np.sqrt(self.a / (1 - self.decay ** (self.t + 1)))
        unit = self.largest_lr * (root + 1e-8)
        self.v = self.m * self.v + arrival.g / (1 + np.abs(self.x - arrival.sent) / unit)
        return self.x - self.lr * self.v


class SMEGA2(Reference):
    """One momentum, renewed once in N gradients by their mean."""

    def begin(self):
        self.v, self.b, self.s = self.zero, self.zero, 0

    def moved_by(self, arrival):
        self.s = (self.s + 1) % self.n
        self.b = self.b + arrival.g
        d = arrival.g + self.m * self.v
        if self.s == 0:
            self.v, self.b = self.m * self.v + self.b / self.n, self.zero
        return self.x - self.lr * d

    def point(self, ahead):
        n, s, m = self.n, self.s, self.m
        return self.x - self.lr * m * (s / n * self.b + (n + s * (m - 1)) * self.v)


class OrMo(Reference):
    """Gradients into the slot they would have had in synchronous momentum, n to a slot.

    weigh: eta_t / eta. n = 1 puts each at its own date, which is spike compensation with each
    gradient's own staleness for D: u = m^D v, and (1-m^(D+1))/(1-m) = m^D + (1-m^D)/(1-m).
    """

    def begin(self):
        self.u, self.index = self.zero, {}

    def slot(self, t):
        return math.ceil(t / self.n)

    def moved_by(self, arrival):
        x, m, now = self.x, self.m, self.slot(self.t)
        if now > self.slot(self.t - 1):
            x, self.u = x - m * self.u, m * self.u
        age = now - self.slot(self.index.get(arrival.worker, 0))
        self.index[arrival.worker] = self.t + 1
        g = self.weigh(arrival.tau) * arrival.g
        self.u = self.u + m**age * self.lr * g
        return x - (1 - m ** (age + 1)) / (1 - m) * self.lr * g


class LWP(Ball):
    """Heavy ball, sent on the line through the last two x; T: the steps ahead, if not given."""

    steps = None

    def point(self, ahead):
        return self.x + (ahead if self.steps is None else self.steps) * (self.x - self.before)


class LWPSC(OrMo):
    """The same with spike compensation."""

    n, steps, point = 1, None, LWP.point


class RollForward(Reference):
    """Damped dated momentum, w = min(1, N/(tau+1)); RFx2: reach = 2."""

    reach = 1.0

    def begin(self):
        self.u, self.g = self.zero, self.zero

    def moved(self, arrivals):
        self.g = mean(arrivals)
        self.u = self.m * self.u + mean(
            arrivals, lambda tau: min(1, self.n / (tau + 1)) * self.m**tau
        )
        return self.x - self.lr * self.u

    def point(self, ahead):
        """The sums over j = 1..D in closed form, as `ahead` may be fractional."""
        m = self.m
        reached = m * (1 - m**ahead) / (1 - m)
        filled = m**ahead * (ahead - reached) / (1 - m)
        return self.x - self.lr * (self.reach * reached * self.u + filled * self.g)


class Clipped(Reference):
    def moved(self, arrivals):
        factors = [min(1.0, self.longest / np.linalg.norm(a.g)) for a in arrivals]
        held = [replace(a, g=f * a.g) for f, a in zip(factors, arrivals, strict=True)]
        return self.x - self.lr * mean(held)


class DelayedNesterov(Reference):
    """Momentum renewed by every N-th pseudo-gradient only."""

    def begin(self):
        self.mass, self.delta = self.zero, self.zero

    def moved_by(self, arrival):
        n, c = self.n, self.ahead
        self.delta = self.delta + arrival.g
        share = c
        if (self.t + 1) % n == 0:
            self.mass, self.delta = self.m * self.mass + self.delta / n, self.zero
            share = 1 - c * n + c
        return self.x - self.lr * (share * self.m * self.mass + arrival.g / n)


class Ringleader(Reference):
    """Rounds of n updates by the table of every worker's mean gradient; served once a round."""

    def begin(self):
        self.table = {i: [] for i in range(self.n)}
        self.next_table = {i: [] for i in range(self.n)}
        self.served = set()

    def moved_by(self, arrival):
        table = self.next_table if arrival.worker in self.served else self.table
        table[arrival.worker].append(arrival.g)
        if table is self.next_table or not all(self.table.values()):
            return self.x
        g = sum(np.mean(own, axis=0) for own in self.table.values()) / self.n
        self.served.add(arrival.worker)
        if len(self.served) == self.n:
            self.table, self.served = self.next_table, set()
            self.next_table = {i: [] for i in range(self.n)}
        return self.x - self.lr * g


class Throttle(Reference):
    """The c-th of a worker in a round counts q^-(c-1) / n; what was read before it, nothing."""

    def begin(self):
        self.began, self.counts = 0, [0] * self.n

    def moved_by(self, arrival):
        if self.t - arrival.tau < self.began:
            return self.x
        weight = self.q ** -self.counts[arrival.worker] / self.n
        self.counts[arrival.worker] += 1
        if all(self.counts):
            self.began, self.counts = self.t + 1, [0] * self.n
        return self.x - self.lr * weight * arrival.g


class YellowFin(Reference):
    """Open loop: momentum and rate from the curvature's range, the variance and the distance."""

    window, smoothing, slow = 20, 0.999, 200

    def begin(self):
        self.recent, self.averages, self.v = deque(maxlen=self.window), {}, self.zero

    def averaged(self, name, value):
        """The exponential average of all so far, rid of the zero it began from."""
        kept = self.averages.get(name, 0.0)
        self.averages[name] = self.smoothing * kept + (1 - self.smoothing) * value
        return self.averages[name] / (1 - self.smoothing ** (self.t + 1))

    def root(self, distance, h_min, variance):
        """x in [0, 1] with x D^2 = 2 C (1 - x)^3 / h_min^2, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(100):
            x = (low + high) / 2
            below = x * distance**2 < 2 * variance * (1 - x) ** 3 / h_min**2
            low, high = (x, high) if below else (low, x)
        return low

    def moved(self, arrivals):
        g = mean(arrivals)
        h = float(g @ g)
        self.recent.append(h)
        h_max = math.exp(self.averaged("largest", math.log(max(self.recent))))
        h_min = math.exp(self.averaged("least", math.log(min(self.recent))))
        squared, average = self.averaged("h", h), self.averaged("g", g)
        distance = self.averaged("distance", self.averaged("norm", math.sqrt(h)) / squared)
        x = self.root(distance, h_min, squared - average @ average)
        ratio = math.sqrt(h_max / h_min)
        mu = max(x**2, ((ratio - 1) / (ratio + 1)) ** 2)
        alpha = self.lr * (1 - math.sqrt(mu)) ** 2 / h_min * min(1, (self.t + 1) / self.slow)
        self.v = mu * self.v + min(1.0, math.sqrt(h_max / h)) * g
        return self.x - alpha * self.v


class FADAS(Reference):
    """AMSGrad on the mean pseudo-gradient, with torch's bias correction.

    eta if the latest is not beyond the concurrency, else min{eta, 1 / its tau}.
    """

    b1, b2, eps = 0.9, 0.999, 1e-8

    def begin(self):
        self.first, self.second, self.largest = self.zero, self.zero, self.zero

    def moved(self, arrivals):
        g, tau = mean(arrivals), max(arrival.tau for arrival in arrivals)
        self.first = self.b1 * self.first + (1 - self.b1) * g
        self.second = self.b2 * self.second + (1 - self.b2) * g**2
        self.largest = np.maximum(self.largest, self.second)
        rate = self.lr if tau <= self.n else min(self.lr, 1 / tau)
        size = np.sqrt(self.largest / (1 - self.b2 ** (self.t + 1))) + self.eps
        return self.x - rate * self.first / (1 - self.b1 ** (self.t + 1)) / size

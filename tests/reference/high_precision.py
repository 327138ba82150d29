"""Reference: gradient flow of a few neurons in any dimension, by Taylor series in decimal arithmetic of 50 digits.

Between two gate changes the flow dw_j/dt = a_j D_j, da_j/dt = <D_j, w_j> is polynomial in the weights, so that its
Taylor coefficients follow from one another by products of series. A step is as long as the last coefficients allow,
relative to each neuron's own size: decimals have no smallest exponent, so that a neuron may shrink by any factor.
Gate changes are roots of the series <w_j, x_k>: the step ends there, and Filippov's test says what the gate does. Of
the drift of <w_j, x_k> with the sample off and on: both positive: on; both negative: off; off > 0 > on: the neuron
slides along the gate. Sliding on the samples S projects the field onto the complement of span{x_k : k in S}; the
implied fraction of an open gate of each sample in S is a linear function of the residual, so its series says when it
leaves [0, 1]. Where no other open gate can move <w_j, x_k> (orthogonal inputs), the gate is held: closed for good, as
relu'(0) = 0 wants.

What the flow conserves is restored after every step: w_j in the complement of its sliding and held samples, and for a
balanced neuron |a_j| = ||w_j||. Own error: run it with another order and tolerance.
"""

from decimal import Decimal, localcontext
from operator import mul

OFF, ON, SLIDES, HELD = "off", "on", "slides", "held"
ZERO = Decimal(0)


class Ambiguous(ValueError):
    """The flow is not unique there, or this reference does not know it (collinear inputs, a_j = 0 while sliding)."""


def dot(u, v):
    return sum(map(mul, u, v), ZERO)


def product(f, g):
    """The coefficient of order len(f) - 1 of the product of two series."""
    return sum(map(mul, f, reversed(g)), ZERO)


def value(series, t):
    total = ZERO
    for coefficient in reversed(series):
        total = total * t + coefficient
    return total


def without(vectors, u):
    """u less its part in the span of the orthogonal `vectors`."""
    for e in vectors:
        c = dot(u, e) / dot(e, e)
        u = [p - c * q for p, q in zip(u, e, strict=True)]
    return u


class HighPrecision:
    """Gradient flow on x (n, d), y (n,) from weights w (m, d) and a (m,) times 10^-decades.

    balanced: |a_j| = ||w_j|| is imposed, also on the start (a gives the signs).
    """

    def __init__(self, x, y, w, a, decades=0, balanced=False, digits=50, order=30, tolerance=1e-20):
        self.digits, self.order, self.tolerance, self.balanced = digits, order, tolerance, balanced
        with localcontext() as context:
            context.prec = digits
            self.x = [[Decimal(float(v)) for v in row] for row in x]
            self.y = [Decimal(float(v)) for v in y]
            scale = Decimal(10) ** -decades
            self.w = [[Decimal(float(v)) * scale for v in row] for row in w]
            self.a = [Decimal(float(v)) * scale for v in a]
            self.n, self.m, self.d = len(self.y), len(self.a), len(self.x[0])
            self.small = Decimal(10) ** -(digits * 3 // 4)
            for k in range(self.n):
                for other in self.x[:k]:
                    if dot(without([other], self.x[k]), self.x[k]) < self.small * dot(self.x[k], self.x[k]):
                        raise Ambiguous("collinear inputs")
            self.gates = [[ON if dot(u, v) > 0 else OFF for v in self.x] for u in self.w]
            self.pulls = [self._pulls(j) for j in range(self.m)]
            self.time, self.steps, self.events = ZERO, 0, 0
            self._conserve()

    def _basis(self, j, kinds):
        """An orthogonal basis of the inputs whose gates are of these kinds, and their numbers."""
        basis, members = [], []
        for k in range(self.n):
            if self.gates[j][k] in kinds:
                rest = without(basis, self.x[k])
                if dot(rest, rest) > self.small * dot(self.x[k], self.x[k]):
                    basis.append(rest)
                    members.append(k)
                elif self.gates[j][k] == SLIDES:
                    raise Ambiguous("sliding on dependent inputs")
        return basis, members

    def _pulls(self, j):
        """By k: the part of x_k / n along which an open gate pulls neuron j; None for the others."""
        basis, _ = self._basis(j, {SLIDES})
        return [
            [c / self.n for c in without(basis, self.x[k])] if self.gates[j][k] == ON else None for k in range(self.n)
        ]

    def _conserve(self):
        for j in range(self.m):
            self.w[j] = without(self._basis(j, {SLIDES, HELD})[0], self.w[j])
            if self.balanced:
                self.a[j] = dot(self.w[j], self.w[j]).sqrt().copy_sign(self.a[j])

    def _series(self):
        """Taylor coefficients of w_j, a_j, <w_j, x_k> and r_k."""
        m, n, d = range(self.m), range(self.n), range(self.d)
        w = [[[self.w[j][i]] for i in d] for j in m]
        a = [[self.a[j]] for j in m]
        z = [[[] for _ in n] for _ in m]
        r = [[] for _ in n]
        fields = [[[] for _ in d] for _ in m]
        for p in range(self.order + 1):
            for j in m:
                newest = [w[j][i][p] for i in d]
                for k in n:
                    z[j][k].append(dot(newest, self.x[k]))
            for k in n:
                open_to = [product(a[j], z[j][k]) for j in m if self.gates[j][k] == ON]
                r[k].append((self.y[k] if p == 0 else ZERO) - sum(open_to, ZERO))
            if p == self.order:
                return w, a, z, r
            for j in m:
                for i in d:
                    pulls = ((k, self.pulls[j][k]) for k in n)
                    fields[j][i].append(sum((r[k][p] * pull[i] for k, pull in pulls if pull is not None), ZERO))
                for i in d:
                    w[j][i].append(product(a[j], fields[j][i]) / (p + 1))
                a[j].append(sum((product(w[j][i][: p + 1], fields[j][i]) for i in d), ZERO) / (p + 1))
        raise AssertionError

    def _length(self, w, a):
        """The step whose last two terms stay below the tolerance, relative to each neuron's size."""
        length = Decimal(1000)
        for j in range(self.m):
            size = max(max(abs(c[0]) for c in w[j]), abs(a[j][0]))
            for p in (self.order - 1, self.order):
                ratio = float(max(max(abs(c[p]) for c in w[j]), abs(a[j][p])) / size)
                if ratio > 0:
                    length = min(length, Decimal((self.tolerance / ratio) ** (1 / p)))
        return length

    def _rests(self, w, a):
        """Whether no neuron changes by more than 1e-14 of its size in a unit of time: an end point."""
        sizes = [max(max(abs(c[0]) for c in w[j]), abs(a[j][0])) for j in range(self.m)]
        return all(max(*(abs(c[1]) for c in w[j]), abs(a[j][1])) < Decimal("1e-14") * sizes[j] for j in range(self.m))

    def _fractions(self, j, r):
        """By sliding sample k: (c_k, r_k / n - c_k) times -sign(a_j), as series: both >= 0 as long as it slides."""
        basis, members = self._basis(j, {SLIDES})
        if not members:
            return {}
        # sum_k in S c_k x_k = -(part in span S of the open gates' field): by elimination from the last of the basis
        rest = [
            [
                -sum((r[k][p] / self.n * self.x[k][i] for k in range(self.n) if self.gates[j][k] == ON), ZERO)
                for i in range(self.d)
            ]
            for p in range(len(r[0]))
        ]
        sign = -Decimal(1).copy_sign(self.a[j])
        found = {}
        for e, k in zip(reversed(basis), reversed(members), strict=True):
            c = [dot(v, e) / dot(e, e) for v in rest]
            rest = [[p - q * s for p, s in zip(v, self.x[k], strict=True)] for v, q in zip(rest, c, strict=True)]
            found[k] = [sign * q for q in c], [sign * (s / self.n - q) for q, s in zip(c, r[k], strict=True)]
        return found

    def _watched(self, z, a, r):
        """(series, j, k, what happens) of each quantity that must stay positive during the step."""
        for j in range(self.m):
            for k in range(self.n):
                if self.gates[j][k] in (ON, OFF):
                    yield z[j][k] if self.gates[j][k] == ON else [-c for c in z[j][k]], j, k, "gate"
            if SLIDES in self.gates[j]:
                yield a[j] if self.a[j] > 0 else [-c for c in a[j]], j, None, "output"
                for k, (low, high) in self._fractions(j, r).items():
                    yield low, j, k, OFF
                    yield high, j, k, ON

    def _first(self, watched, length):
        """The first moment at which a watched quantity becomes negative, and which; None where none does."""
        first = None
        for series, *which in watched:
            if series[0] > sum((abs(c) * length**p for p, c in enumerate(series) if p), ZERO):
                continue
            low = ZERO
            for i in range(1, 33):
                high = length * i / 32
                if value(series, high) < 0:
                    break
                low = high
            else:
                continue
            for _ in range(4 * self.digits):
                middle = (low + high) / 2
                low, high = (low, middle) if value(series, middle) < 0 else (middle, high)
                if high - low < self.small * high:
                    break
            if first is None or high < first[0]:
                first = (high, *which)
        return first

    def _change(self, j, k, what):
        """Gate k of neuron j at its event: what it does from now on."""
        if what == "output":
            raise Ambiguous("a_j = 0 while sliding")
        if what in (ON, OFF):
            self.gates[j][k] = what
        else:
            basis, _ = self._basis(j, {SLIDES})
            across = without(basis, self.x[k])
            r = self.residual()
            others = [i for i in range(self.n) if self.gates[j][i] == ON and i != k]
            pulls = [dot(self.x[i], across) for i in others]
            size = dot(self.x[k], self.x[k]).sqrt()
            if all(
                abs(c) < self.small * size * dot(self.x[i], self.x[i]).sqrt()
                for i, c in zip(others, pulls, strict=True)
            ):
                self.gates[j][k] = HELD
            else:
                off = self.a[j] * sum((r[i] * c for i, c in zip(others, pulls, strict=True)), ZERO)
                on = off + self.a[j] * r[k] * dot(across, across)
                if off < 0 < on:
                    raise Ambiguous("a gate that repels from both sides")
                self.gates[j][k] = ON if min(on, off) > 0 else OFF if max(on, off) < 0 else SLIDES
        self.pulls[j] = self._pulls(j)

    def _settle(self, j):
        """After a change another sliding sample may have left [0, 1]: it leaves at once."""
        for _ in range(2 * self.n):
            series = [[c] for c in self.residual()]
            gone = [(k, OFF if low[0] < 0 else ON) for k, (low, high) in self._fractions(j, series).items()
                    if min(low[0], high[0]) < -self.small * abs(series[k][0])]  # fmt: skip
            if not gone:
                return
            self._change(j, *gone[0])
        raise Ambiguous("sliding samples that keep coming and going")

    def residual(self):
        open_to = [[j for j in range(self.m) if self.gates[j][k] == ON] for k in range(self.n)]
        return [
            self.y[k] - sum((self.a[j] * dot(self.w[j], self.x[k]) for j in open_to[k]), ZERO) for k in range(self.n)
        ]

    def loss(self):
        return float(dot(self.residual(), self.residual()) / (2 * self.n))

    def run(self, end, levels=()):
        """Integrates to flow time `end`, or to rest. Returns when the loss fell below each level, None: not yet."""
        found = [None] * len(levels)
        with localcontext() as context:
            context.prec = self.digits
            end = Decimal(end)
            while self.time < end:
                w, a, z, r = self._series()
                if self._rests(w, a):
                    break
                length = min(self._length(w, a), end - self.time)
                event = self._first(self._watched(z, a, r), length)
                taken = event[0] if event else length
                self.w = [[value(c, taken) for c in row] for row in w]
                self.a = [value(c, taken) for c in a]
                self._note(r, taken, levels, found)
                if event:
                    _, j, k, what = event
                    self._change(j, k, what)
                    self._settle(j)
                    self.events += 1
                self._conserve()
                self.time += taken
                self.steps += 1
        return found

    def _note(self, r, taken, levels, found):
        def loss_at(t):
            return sum((value(c, t) ** 2 for c in r), ZERO) / (2 * self.n)

        last = loss_at(taken)
        for i, level in enumerate(levels):
            if found[i] is None and last < Decimal(level):
                low, high = ZERO, taken
                for _ in range(60):
                    middle = (low + high) / 2
                    low, high = (low, middle) if loss_at(middle) < Decimal(level) else (middle, high)
                found[i] = float(self.time + high)

    def log_norms(self):
        """ln ||w_j||, also where ||w_j|| is below the smallest float."""
        with localcontext() as context:
            context.prec = 20
            return [float(dot(u, u).ln() / 2) for u in self.w]

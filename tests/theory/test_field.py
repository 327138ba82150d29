"""Extremal directions and escape rates against brute force over the circle and the sphere."""

import numpy as np
import pytest

from gfflow.data import five_points, orthogonal_pair
from gfflow.theory import escape, extremal_directions
from gfflow.theory.field import field, growth

ANGLES = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def cross(u, v):
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def brute_force(x, r):
    """(sliding, sign, angle) of every zero of the turning speed at which w points along sign D, from a million
    angles.

    D is constant on an arc of equal gates, so the turning speed w x D is there a sinusoid, and each of its zeros lies
    between two neighbouring angles of equal gates. Where gates change between them, neurons of sign s slide if the
    turning speed s w x D falls there through zero and s <w, D> > 0."""
    d = np.zeros_like(CIRCLE)
    code = np.zeros(len(ANGLES), dtype=np.int64)
    for k in range(len(r)):
        on = CIRCLE @ x[k] > 0
        d += np.outer(on * r[k], x[k]) / len(r)
        code += on.astype(np.int64) << k
    turning = cross(CIRCLE, d)
    change = (np.sign(turning) != np.sign(np.roll(turning, -1))) & (np.linalg.norm(d, axis=1) > 1e-12)
    same = code == np.roll(code, -1)
    along = np.sign((CIRCLE * d).sum(axis=1))
    sliding = change & ~same & (along * turning > 1e-5) & (along * np.roll(turning, -1) < -1e-5)
    return sorted((kind, int(along[i]), ANGLES[i]) for kind, at in ((False, change & same), (True, sliding))
                  for i in np.flatnonzero(at))  # fmt: skip


def general(seed, n):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, 2)), generator.standard_normal(n)


DATA = {
    "five points": lambda: (five_points().x.numpy(), five_points().y.numpy()),
    **{f"random {n}": (lambda n=n: general(n, n)) for n in (1, 2, 3, 4, 6, 9)},
}


@pytest.mark.parametrize("kind", DATA)
def test_extremal_directions_are_those_of_a_million_angles(kind):
    """To 7e-6, the distance of the angles."""
    x, r = DATA[kind]()
    # a single gate's D lies in the middle of its arc; nothing here lies on a gate exactly, which a grid cannot see
    found = sorted(
        (e.sliding, e.sign, float(np.arctan2(e.direction[1], e.direction[0]) % (2 * np.pi)))
        for e in extremal_directions(x, r)
    )
    wanted = brute_force(x, r)
    assert [known for *known, _ in found] == [known for *known, _ in wanted]
    np.testing.assert_allclose([v[-1] for v in found], [v[-1] for v in wanted], atol=7e-6)


def test_some_of_these_data_slide():
    assert any(e.sliding for kind in DATA for e in extremal_directions(*DATA[kind]()))


@pytest.mark.parametrize("kind", ["five points", "random 4", "random 6", "random 9"])
def test_small_neurons_end_in_the_extremal_directions(kind):
    """Descent from a start so small that h = 0: every neuron that grows is at one of its sign's, to
    the step size."""
    x, y = DATA[kind]()
    generator = np.random.default_rng(0)
    w = generator.standard_normal((200, 2))
    a = np.where(np.arange(200) < 100, 1.0, -1.0) * np.linalg.norm(w, axis=1)
    signs = np.sign(a)
    lr = 1e-2
    for _ in range(20_000):
        d = field(x, y, w)
        w, a = w + lr * a[:, None] * d, a + lr * (d * w).sum(axis=1)
        size = np.linalg.norm(w, axis=1)
        w, a = w / size[:, None], a / size  # the motion is homogeneous
    alive = signs * growth(x, y, w) > 1e-3
    assert alive.sum() > 20
    found = extremal_directions(x, y)
    for v, sign in zip(w[alive], signs[alive], strict=True):
        assert min(np.linalg.norm(e.direction - v) for e in found if e.sign == sign) < 1e-2


@pytest.mark.parametrize("kind", DATA)
def test_escape_is_the_maximum_over_a_million_angles(kind):
    """Never below the brute force, and above by at most a step of 7e-6 times G's slope."""
    x, r = DATA[kind]()
    out = escape(x, r)
    best = np.abs(growth(x, r, CIRCLE)).max()
    assert out.exact
    assert best - 1e-15 <= out.rate <= best + 7e-6 * np.abs(r).sum()
    assert out.sign * growth(x, r, out.direction) == pytest.approx(out.rate, rel=1e-12)
    assert np.linalg.norm(out.direction) == pytest.approx(1)


def test_orthogonal_pair_has_the_directions_of_the_paper():
    """D+ for a > 0 and -D- for a < 0 lie on the other sample's gate, which counts as off."""
    data = orthogonal_pair()
    found = extremal_directions(data.x.numpy(), data.y.numpy())
    wanted = {(1, (2.0, 1.0)), (-1, (-0.5, 1.0))}
    for sign, v in wanted:
        unit = np.array(v) / np.linalg.norm(v)
        assert any(e.sign == sign and np.allclose(e.direction, unit, atol=1e-12) for e in found)


@pytest.mark.parametrize(("n", "d"), [(30, 3), (12, 8)])
def test_ascent_in_space_reaches_the_best_of_many_directions(n, d):
    """A lower bound, said to be one; within 1e-6 of no random direction's being better, and a real value of G."""
    generator = np.random.default_rng(d)
    x, r = generator.standard_normal((n, d)), generator.standard_normal(n)
    out = escape(x, r)
    w = generator.standard_normal((200_000, d))
    w /= np.linalg.norm(w, axis=1)[:, None]
    assert not out.exact
    assert out.rate >= np.abs(growth(x, r, w)).max() - 1e-6
    assert out.sign * growth(x, r, out.direction) == pytest.approx(out.rate, rel=1e-12)


def test_no_residual_no_escape():
    data = five_points()
    assert escape(data.x.numpy(), np.zeros(5)).rate == 0
    assert extremal_directions(data.x.numpy(), np.zeros(5)) == []

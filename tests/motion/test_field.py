"""Extremal directions and escape rates against brute force over the circle and the sphere."""

import numpy as np
import pytest

from gfflow.model.data import five_points, orthogonal_pair
from gfflow.motion.field import field, growth
from gfflow.theory import escape, extremal_directions

ANGLES = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def cross(u, v):
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def brute_force(x, r):
    """(sliding, stable, sign, angle) of every zero of the turning speed at which w points along sign D, from a
    million angles.

    D is constant on an arc of equal gates, so the turning speed w x D is there a sinusoid, and each of its zeros lies
    between two neighbouring angles of equal gates. Where gates change between them, neurons of sign s with
    s <w, D> > 0 slide if the turning speed s w x D falls there through zero, and are driven away if it rises."""
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
    speeds = along * turning, along * np.roll(turning, -1)
    gates = change & ~same & (np.minimum(*np.abs(speeds)) > 1e-5)
    sorts = (
        (False, True, change & same),
        (True, True, gates & (speeds[0] > 0)),
        (True, False, gates & (speeds[0] < 0)),
    )
    return sorted((*sort, int(along[i]), ANGLES[i]) for *sort, at in sorts for i in np.flatnonzero(at))


def general(seed, n):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, 2)), generator.standard_normal(n)


def antipodal(seed):
    x, r = general(seed, 5)
    return np.concatenate([x, -2 * x[:3]]), np.append(r, [0.4, -0.6, 0.5])


DATA = {
    **{f"antipodal {seed}": (lambda seed=seed: antipodal(seed)) for seed in range(3)},
    "five points": lambda: (five_points().x.numpy(), five_points().y.numpy()),
    **{f"random {n}": (lambda n=n: general(n, n)) for n in (1, 2, 3, 4, 6, 9)},
}


@pytest.mark.parametrize("kind", DATA)
def test_extremal_directions_are_those_of_a_million_angles(kind):
    """To 7e-6, the distance of the angles."""
    x, r = DATA[kind]()
    # a single gate's D lies in the middle of its arc; nothing here lies on a gate exactly, which a grid cannot see
    found = sorted(
        (e.sliding, e.stable, e.sign, float(np.arctan2(e.direction[1], e.direction[0]) % (2 * np.pi)))
        for e in extremal_directions(x, r)
    )
    wanted = brute_force(x, r)
    assert [known for *known, _ in found] == [known for *known, _ in wanted]
    np.testing.assert_allclose([v[-1] for v in found], [v[-1] for v in wanted], atol=7e-6)


def test_some_of_these_data_slide():
    directions = [e for kind in DATA for e in extremal_directions(*DATA[kind]())]
    assert any(e.sliding and e.stable for e in directions)
    assert any(e.sliding and not e.stable for e in directions)


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
        assert min(np.linalg.norm(e.direction - v) for e in found if e.sign == sign and e.stable) < 1e-2


def in_space(n, d, seed=0):
    generator = np.random.default_rng((n, d, seed))
    return generator.standard_normal((n, d)), generator.standard_normal(n)


@pytest.mark.parametrize("n", [6, 9, 15])
def test_stable_directions_on_the_sphere_are_where_the_flow_ends(n):
    """v' = s (D - <D, v> v) from 2000 directions of each sign by small steps, the last of 1e-3: at a gate on which it
    slides it then chatters by about that much. Every stable direction is found so, and nothing else."""
    x, r = in_space(n, 3)
    v = np.random.default_rng(1).standard_normal((4000, 3))
    v /= np.linalg.norm(v, axis=1)[:, None]
    signs = np.repeat([1, -1], 2000)
    for step, count in ((0.1, 3000), (1e-2, 500), (1e-3, 500)):
        for _ in range(count):
            v += step * signs[:, None] * field(x, r, v)
            v /= np.linalg.norm(v, axis=1)[:, None]
    grown = signs * growth(x, r, v) > 1e-3
    stable = [e for e in extremal_directions(x, r) if e.stable]
    near = np.array([(signs == e.sign) & (np.linalg.norm(v - e.direction, axis=1) < 1e-2) for e in stable])
    assert near.any(axis=1).all()
    assert near.any(axis=0)[grown].mean() > 0.995  # a few that began beside an unstable direction are on their way


@pytest.mark.parametrize(("n", "d"), [(7, 2), (14, 2), (9, 3), (20, 3), (40, 3), (12, 4), (11, 5)])
def test_none_of_the_extremal_directions_is_missing(n, d):
    """The critical points of a function on a sphere, each counted as (-1)^(its ways down), add up to the sphere's
    Euler characteristic (Morse).

    At a direction of sign +1, G falls along the sphere but for the gates with r_k > 0 on which it lies, off which it
    rises: d - 1 less their number are the ways down. At one of sign -1 it rises, but for those with r_k < 0. The
    inputs here leave no direction without an open gate, where G would have a plateau.
    """
    x, r = in_space(n, d)
    x[: d + 1] = np.concatenate([np.eye(d), -np.ones((1, d))]) + 0.1 * x[: d + 1]  # some gate is open everywhere
    total = 0
    for e in extremal_directions(x, r):
        held = np.abs(x @ e.direction) < 1e-9
        assert e.stable == bool((e.sign * r[held] < 0).all())
        assert e.sign * growth(x, r, e.direction) == pytest.approx(e.rate, rel=1e-9)
        against = int((e.sign * r[held] > 0).sum())
        total += (-1) ** (d - 1 - against if e.sign > 0 else against)
    assert total == 1 + (-1) ** (d - 1)


def test_orthogonal_inputs_have_one_direction_for_each_set_of_samples_of_one_sign():
    """D of any of them, stable only if it is all of them: D+ and -D-."""
    x, r = np.diag([1.0, 2.0, 0.5, 1.5, 1.0]), np.array([1.0, -0.5, 0.7, 0.4, -0.8])
    found = extremal_directions(x, r)
    assert len(found) == (2**3 - 1) + (2**2 - 1)
    for e in found:
        mine = x.T @ (e.sign * r * (e.gates & (e.sign * r > 0))) / 5
        assert np.linalg.norm(mine) == pytest.approx(e.rate, rel=1e-12)
        np.testing.assert_allclose(e.direction, mine / e.rate, atol=1e-12)
        assert not e.sliding
        assert e.stable == bool((e.gates == (e.sign * r > 0)).all())


@pytest.mark.parametrize(("n", "d"), [(5, 2), (6, 3)])
def test_repeated_and_unlabelled_samples_change_no_direction(n, d):
    """Every sample twice, and one more with r = 0, is the same field but for the factor of the mean."""
    x, r = in_space(n, d)
    once = extremal_directions(x, r)
    more = extremal_directions(np.concatenate([x, x, np.ones((1, d))]), np.append(np.tile(r, 2), 0.0))
    assert [(e.sign, e.sliding, e.stable) for e in once] == [(e.sign, e.sliding, e.stable) for e in more]
    np.testing.assert_allclose([e.direction for e in once], [e.direction for e in more], atol=1e-9)
    np.testing.assert_allclose([e.rate * 2 * n / (2 * n + 1) for e in once], [e.rate for e in more], rtol=1e-9)


def test_too_many_faces_are_not_listed():
    assert extremal_directions(*in_space(75, 150)) is None


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

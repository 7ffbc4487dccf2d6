"""Tests of the losses: reductions, weights, targets, and the results of other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import grad, hessian, jvp
from jax_cases import close, matrices, same

import cosgrad.jax as C
import cosgrad.numpy as N
from cosgrad.verify import inputs, oracle

REDUCTIONS = ("sum", "mean", "weighted_mean", "nonzero_mean")


@pytest.fixture(params=REDUCTIONS)
def reduction(request):
    return request.param


@pytest.fixture
def rows(dtype_name, seed):
    return inputs.ordinary(seed, 16, dtype_name)


@pytest.fixture
def pair(rows, dtype):
    return jnp.asarray(rows.x, dtype), jnp.asarray(rows.y, dtype)


def near(loss, true, size):
    """Check a loss.

    The tolerance is one rounding to the dtype and the roundings of nine terms in float32 or wider.
    """
    eps = float(jnp.finfo(loss.dtype).eps)
    wide = float(jnp.finfo(jnp.promote_types(loss.dtype, jnp.float32)).eps)
    assert abs(float(loss) - float(true)) <= 0.5 * eps * abs(float(true)) + 9 * wide * size


@pytest.mark.parametrize("x64", [False, True])
def test_the_tutorials_tensors(x64, dtype):
    labels = np.array([[1, 4, 5], [5, 5, 7]], dtype)
    predictions = np.array([[3, 2, 5], [3, 2, 7]], dtype)
    with jax.enable_x64(x64):
        near(C.cosine_distance_loss(labels, predictions), 0.0771687014521354702, 0.1)
        assert C.cosine_distance_loss(labels, predictions, assume_normalized=True) == -54


@pytest.mark.parametrize("weights", [None, [0.5, 0, 1, 2, 0, 0, 4, 1, 0.25]])
def test_value(pair, rows, reduction, weights):
    w = None if weights is None else jnp.array(weights)
    loss = C.cosine_distance_loss(*pair, weights=w, reduction=reduction)
    true = oracle.reduce(rows.distances, weights, reduction)
    near(loss, true, max(abs(float(true)), 1))
    assert loss.dtype == pair[0].dtype


@pytest.mark.parametrize("weights", [None, 0.5])
def test_gradient_is_that_of_the_distances(pair, rows, reduction, weights):
    got = jax.jit(
        grad(lambda x, y: C.cosine_distance_loss(x, y, weights=weights, reduction=reduction), (0, 1))
    )(*pair)
    by_hand = {"sum": 1, "weighted_mean": 2 / len(rows)}.get(reduction, 1 / len(rows)) * (weights or 1)
    by_hand = 1 / len(rows) if weights is None and reduction != "sum" else by_hand
    g = np.full(len(rows), -by_hand, pair[0].dtype)
    same(got, N.cosine_similarity_grad(*map(np.asarray, pair), g))


def test_unreduced(pair):
    w = jnp.arange(9.0)
    same(C.cosine_distance_loss(*pair, reduction="none"), C.cosine_distance(*pair))
    weighted = C.cosine_distance_loss(*pair, weights=w, reduction="none")
    wide = jnp.float64 if weighted.dtype == jnp.float64 else jnp.float32
    same(weighted, (w.astype(wide) * C.cosine_distance(*pair).astype(wide)).astype(weighted.dtype))


@pytest.mark.parametrize(
    ("assume_normalized", "reduction"),
    [*((False, r) for r in (*REDUCTIONS, "none")), (True, "weighted_mean")],
)
def test_a_weight_of_zero_excludes_its_row(assume_normalized, reduction, rng):
    x, y = (C.normalize(a) for a in matrices(rng))
    spoilt = x.at[1, 2].set(jnp.nan), y.at[3, 0].set(-jnp.inf)
    w = jnp.array([1.0, 0.0, 2.0, 0.0])

    def loss(x, y, w):
        options = {"reduction": reduction, "assume_normalized": assume_normalized}
        return C.cosine_distance_loss(x, y, weights=w, **options).sum()

    @jax.jit
    def everything(x, y, w):
        along = (jnp.ones_like(x), jnp.ones_like(y), jnp.ones_like(w))
        first = grad(loss, (0, 1, 2))(x, y, w)
        tangent = jvp(lambda x, y: loss(x, y, w), (x, y), along[:2])[1]
        pushed = lambda x, y: jvp(lambda x, y: loss(x, y, w), (x, y), along[:2])[1]  # noqa: E731
        pulled = lambda x, y, w: sum(g.sum() for g in grad(loss, (0, 1))(x, y, w))  # noqa: E731
        second = [
            jvp(grad(loss, (0, 1)), (x, y, w), along)[1],
            grad(pulled, (0, 1))(x, y, w),
            grad(pushed, (0, 1))(x, y),
        ]
        return loss(x, y, w), first[:2], second, tangent, first[2]

    *got, gw = everything(*spoilt, w)
    *expected, _ = everything(x.at[1].set(0).at[3].set(0), y.at[1].set(0).at[3].set(0), w)
    used = jax.tree.map(lambda t: t * 1.0, expected)
    close(got, used)
    assert all((g[jnp.array([1, 3])] == 0).all() for g in jax.tree.leaves(got) if g.ndim)
    assert np.isfinite(gw).all()


def test_a_row_that_is_not_excluded_spoils_the_loss(rng):
    x, y = matrices(rng)
    x = x.at[1, 2].set(jnp.nan)
    loss, g = jax.value_and_grad(C.cosine_distance_loss)(x, y, weights=jnp.array([0.0, 1.0, 1.0, 1.0]))
    assert np.isnan(loss)
    assert np.isnan(g[1]).all()
    assert np.isfinite(g[2:]).all()


def test_the_derivative_in_a_weight_is_its_distance(rng):
    x, y = matrices(rng)
    w = jnp.array([0.0, 1.0, -2.0, 0.0])
    same(grad(lambda w: C.cosine_distance_loss(x, y, weights=w, reduction="sum"))(w), C.cosine_distance(x, y))


@pytest.mark.parametrize("weights", [None, 0.0])
def test_over_nothing_the_loss_is_zero(weights, reduction):
    x, y = np.ones((2, *((0, 3) if weights is None else (2, 3))))
    loss, g = jax.value_and_grad(C.cosine_distance_loss)(x, y, weights=weights, reduction=reduction)
    assert loss == 0
    assert (g == 0).all()


@pytest.mark.parametrize(
    "weights", [2, 2.0, np.int32(2), True * 2, np.array([[2.0]]), np.full((3, 1), 2, np.float16)], ids=repr
)
def test_weights_broadcast(weights, rng):
    x, y = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    D = N.cosine_distance(x, y).astype(np.float64)
    means = {
        "sum": 2 * D.sum(),
        "mean": 2 * D.mean(),
        "weighted_mean": D.mean(),
        "nonzero_mean": 2 * D.mean(),
    }
    got = {r: C.cosine_distance_loss(x, y, weights=weights, reduction=r) for r in means}
    close(got, means, rtol=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.5, -1.0])
@pytest.mark.parametrize("target", [1, -1])
def test_embedding_loss(pair, rows, target, margin):
    losses = C.cosine_embedding_loss(*pair, target, margin=margin, reduction="none")
    true = [float(oracle.embedding_loss(x, y, target, margin)) for x, y in zip(rows.x, rows.y, strict=True)]
    bound = 2 * float(jnp.finfo(losses.dtype).eps)
    close(losses.astype(np.float64), np.array(true), rtol=bound, atol=bound)


@pytest.mark.parametrize("of", [np.array, jnp.array, list], ids=["numpy", "jax", "number"])
@pytest.mark.parametrize("transform", ["jit", "grad", "scan", "none"])
def test_targets_are_seen_where_they_can_be(of, transform, rng):
    """Check that a closed-over target has values, and is therefore checked, under every transform."""
    x, y = matrices(rng)
    under = {
        "jit": lambda f: jax.jit(f)(x),
        "grad": lambda f: grad(f)(x),
        "scan": lambda f: jax.lax.scan(lambda c, _: (f(x), None), 0.0, length=1),
        "none": lambda f: f(x),
    }[transform]
    good, bad = (1, 0) if of is list else (of([1, -1, 1, -1]), of([1, -1, 2, 1]))
    under(lambda x: C.cosine_embedding_loss(x, y, good))
    with pytest.raises(ValueError, match=r"target holds [02], must hold only \+1 and -1"):
        under(lambda x: C.cosine_embedding_loss(x, y, bad))


def test_traced_targets_are_not_looked_at(rng):
    x, y = matrices(rng)
    target = jnp.array([1, -1, 1, -1])
    loss = jax.jit(C.cosine_embedding_loss)(x, y, target)
    close(loss, C.cosine_embedding_loss(x, y, target))
    close(jax.vmap(C.cosine_embedding_loss)(x, y, target).mean(), loss)


def test_embedding_loss_where_a_row_is_not_finite(rng):
    x, y = matrices(rng)
    x = x.at[:2, 0].set(jnp.nan)
    losses = C.cosine_embedding_loss(x, y, np.array([1, -1, 1, -1]), reduction="none")
    assert np.isnan(losses).tolist() == [True, True, False, False]


@pytest.mark.parametrize("ours", [C.cosine_similarity, C.cosine_distance])
def test_equal_to_optax_at_generic_points(ours, rng):
    """Check agreement within the rounding of a sum of 33 products in float64."""
    x, y = matrices(rng, 33)
    theirs = getattr(optax.losses, ours.__name__)
    close(ours(x, y), theirs(x, y), rtol=1e-13, atol=1e-15)
    g, h = (grad(lambda x, y, f=f: f(x, y).sum(), (0, 1))(x, y) for f in (ours, theirs))
    close(g, h, rtol=1e-12, atol=1e-14)


def test_drives_two_vectors_parallel(rng):
    """Check that the distance keeps falling below 1e-7, where 1 - S stalls."""
    x, y = rng.standard_normal((2, 8)).astype(np.float32)

    @jax.jit
    def step(x, _):
        return x - 0.5 * jnp.vdot(x, x) * grad(C.cosine_distance)(x, y), C.cosine_distance(x, y)

    x, distances = jax.lax.scan(step, jnp.asarray(x), length=60)
    assert distances[-1] < 1e-12
    assert hessian(C.cosine_distance)(x, y).shape == (8, 8)

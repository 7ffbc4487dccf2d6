"""Tests of the contrastive losses under JAX's transforms against the dense formula.

They also measure the work and the memory of the losses.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cosgrad.jax as C

N, D = 6, 4
LABELS = np.array([0, 1, 0, 2, 1, 1])
IGNORE = np.zeros((N, N), bool)
IGNORE[[0, 1, 2], [1, 1, 5]] = True
IGNORE[3] = True


def softmax(S, allowed, positive):
    """Return the mean over rows of -log p of their positives, in float64."""
    positive = positive & allowed
    rows = positive.any(1)
    log_p = S - jax.nn.logsumexp(jnp.where(allowed, S, -1e30), 1, keepdims=True)
    each = jnp.where(positive, -log_p, 0).sum(1) / np.maximum(positive.sum(1), 1)
    return jnp.where(rows, each, 0).sum() / max(rows.sum(), 1)


def dense(allowed, positive, symmetric):
    def loss(x, y, t):
        S = C.pairwise_cosine_similarity(x, y) / t
        by_rows = softmax(S, allowed, positive)
        return (by_rows + softmax(S.T, allowed.T, positive.T)) / 2 if symmetric else by_rows

    return loss


def dense_sigmoid(x, y, t):
    sign = 2 * jnp.eye(N) - 1
    return jax.nn.softplus(-sign * (C.pairwise_cosine_similarity(x, y) / t - 1)).sum() / N


ALL, EYE, OTHERS = np.ones((N, N), bool), np.eye(N, dtype=bool), ~np.eye(N, dtype=bool)
ALIKE, VIEWS = LABELS[:, None] == LABELS, np.roll(np.eye(N, dtype=bool), N // 2, 1)
GIVEN = {"labels_x": LABELS, "labels_y": LABELS, "ignore": IGNORE}
CASES = {
    "symmetric": (lambda x, y, t: C.contrastive_loss(x, y, temperature=t), dense(ALL, EYE, True)),
    "one way": (
        lambda x, y, t: C.contrastive_loss(x, y, temperature=t, ignore=IGNORE, symmetric=False),
        dense(~IGNORE, EYE, False),
    ),
    "labels": (lambda x, y, t: C.contrastive_loss(x, y, temperature=t, **GIVEN), dense(~IGNORE, ALIKE, True)),
    "views": (
        lambda x, y, t: C.nt_xent_loss(x, temperature=t) + y[0, 0],
        lambda x, y, t: dense(OTHERS, VIEWS, False)(x, x, t) + y[0, 0],
    ),
    "supervised": (
        lambda x, y, t: C.nt_xent_loss(x, LABELS, temperature=t) + y[0, 0],
        lambda x, y, t: dense(OTHERS, ALIKE, False)(x, x, t) + y[0, 0],
    ),
    "sigmoid": (lambda x, y, t: C.sigmoid_contrastive_loss(x, y, scale=1 / t, bias=-1.0), dense_sigmoid),
}


@pytest.fixture
def arguments(rng):
    x, y = rng.standard_normal((2, N, D))
    return x, y, np.float64(0.3)


@pytest.fixture
def directions(rng):
    dx, dy = rng.standard_normal((2, N, D))
    return dx, dy, np.float64(-0.7)


def alike(a, b, rtol=1e-11):
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(b))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale), a, b)


ALL_ARGUMENTS = (0, 1, 2)
TRANSFORMS = {
    "eager": lambda f, a, d: jax.value_and_grad(f, ALL_ARGUMENTS)(*a),
    "forward": lambda f, a, d: jax.jit(lambda a, d: jax.jvp(f, a, d))(a, d),
    "forward over reverse": lambda f, a, d: jax.jit(
        lambda a, d: jax.jvp(jax.grad(f, ALL_ARGUMENTS), a, d)[1]
    )(a, d),
    "reverse over reverse": lambda f, a, d: jax.jit(
        jax.grad(lambda a: sum(map(jnp.vdot, jax.grad(f, ALL_ARGUMENTS)(*a), d)))
    )(a),
    "forward over forward": lambda f, a, d: jax.jit(
        lambda a, d: jax.jvp(lambda *a: jax.jvp(f, a, d)[1], a, d)[1]
    )(a, d),
    "hessian": lambda f, a, d: jax.jit(jax.hessian(f))(*a),
    "mapped": lambda f, a, d: jax.jit(jax.vmap(jax.value_and_grad(f, ALL_ARGUMENTS)))(
        *jax.tree.map(lambda a, d: np.stack([a, a + 0.1 * d]), a, d)
    ),
    "one mapped": lambda f, a, d: jax.jit(jax.vmap(jax.grad(f, ALL_ARGUMENTS), (0, None, None)))(
        np.stack([a[0], d[0]]), *a[1:]
    ),
    "checkpoint": lambda f, a, d: jax.jit(jax.grad(jax.checkpoint(f), ALL_ARGUMENTS))(*a),
}


TRIED = [("symmetric", transform) for transform in TRANSFORMS]
TRIED += [(name, "forward over reverse") for name in CASES if name != "symmetric"]
TRIED += [(name, "reverse over reverse") for name in ("labels", "sigmoid")]


@pytest.mark.parametrize(("name", "transform"), TRIED)
def test_as_the_dense_formula(name, transform, arguments, directions):
    (ours, formula), run = CASES[name], TRANSFORMS[transform]
    alike(run(ours, arguments, directions), run(formula, arguments, directions))


def test_second_order_of_pairs_that_are_far_away(arguments, directions):
    ours, formula = CASES["labels"]
    cold, run = (*arguments[:2], np.float64(1e-3)), TRANSFORMS["forward over reverse"]
    alike(run(ours, cold, directions), run(formula, cold, directions))


def test_third_order(arguments, directions):
    def third(f):
        g = lambda t: jax.jvp(jax.grad(lambda t: f(*arguments[:2], t)), (t,), (1.0,))[1]  # noqa: E731
        return jax.jit(jax.grad(g))(arguments[2])

    ours, formula = CASES["symmetric"]
    alike(third(ours), third(formula))


def test_a_mask_that_is_mapped(arguments):
    x, y, _ = arguments
    masks = np.stack([IGNORE, IGNORE.T])
    got = jax.vmap(lambda ignore: C.contrastive_loss(x, y, ignore=ignore))(masks)
    alike(got, jnp.stack([C.contrastive_loss(x, y, ignore=mask) for mask in masks]))


def test_a_temperature_under_a_transform_is_not_checked(arguments):
    x, y, _ = arguments
    slope = jax.grad(lambda t: C.contrastive_loss(x, y, temperature=t))(jnp.float32(0.3))
    assert slope.dtype == jnp.float32
    assert np.isfinite(slope)


PRODUCTS = {
    "value": (0, lambda x, y, t: C.contrastive_loss(x, y, temperature=t), 1),
    "x": ((0,), lambda x, y, t: C.contrastive_loss(x, y, temperature=t), 3),
    "temperature": ((2,), lambda x, y, t: C.contrastive_loss(x, y, temperature=t), 2),
    "all": (ALL_ARGUMENTS, lambda x, y, t: C.contrastive_loss(x, y, temperature=t), 4),
    "views": ((0, 2), lambda x, y, t: C.nt_xent_loss(x, temperature=t), 3),
    "sigmoid": (ALL_ARGUMENTS, lambda x, y, t: C.sigmoid_contrastive_loss(x, y, scale=t), 3),
    "sigmoid's scale": ((2,), lambda x, y, t: C.sigmoid_contrastive_loss(x, y, scale=t), 1),
}


@pytest.mark.parametrize("name", list(PRODUCTS))
def test_products_of_a_tile_are_those_that_are_wanted(name, arguments):
    wanted, loss, count = PRODUCTS[name]
    function = jax.value_and_grad(loss, wanted) if wanted else loss
    assert str(jax.make_jaxpr(function)(*arguments)).count("dot_general") == count


MEMORY = {
    "labels": lambda x, y: C.contrastive_loss(
        x, y, labels_x=jnp.arange(len(x)) // 4, labels_y=jnp.arange(len(y)) // 4
    ),
    "views": lambda x, y: C.nt_xent_loss(jnp.concatenate([x, y])),
    "sigmoid": lambda x, y: C.sigmoid_contrastive_loss(x, y),
}


@pytest.mark.parametrize("name", list(MEMORY))
def test_memory_grows_with_the_rows(name):
    def taken(n):
        x = jax.ShapeDtypeStruct((n, 64), jnp.float32)
        program = jax.jit(jax.value_and_grad(MEMORY[name], (0, 1))).lower(x, x).compile()
        return program.memory_analysis().temp_size_in_bytes

    tiles, rows = 2**20, 2**10 * 64  # numbers in a tile, and in 2^10 rows
    small, large = taken(2**10), taken(2**14)
    assert small < 4 * (8 * tiles + 2 * 12 * rows)
    assert large - small < 4 * (2 * 12 * 15 * rows)


def test_second_derivatives_forward_keep_the_memory():
    def taken(n):
        x = jax.ShapeDtypeStruct((n, 64), jnp.float32)
        product = lambda x, u: jax.jvp(jax.grad(lambda x: C.contrastive_loss(x, x)), (x,), (u,))[1]  # noqa: E731
        return jax.jit(product).lower(x, x).compile().memory_analysis().temp_size_in_bytes

    assert taken(2**13) < 0.5 * 4 * 2**26

"""Tests of derivatives of every order and mode against the oracle, and TensorFlow's own check."""

from itertools import chain

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_cases import (
    check,
    forward_over_reverse,
    gradient,
    inner,
    matrices,
    reverse_over_forward,
    reverse_over_reverse,
    tangent,
    tensor,
)

import cosgrad.tensorflow as C
from cosgrad.verify import bounds, inputs, oracle


def graph(function):
    return tf.function(function, autograph=False)


@pytest.fixture(params=[3, 17])
def batch(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name)


@pytest.fixture
def rows(batch, tf_dtype):
    return [tensor(getattr(batch, name), tf_dtype) for name in ("x", "y", "u", "v", "g")]


@pytest.fixture(params=[C.cosine_similarity, C.cosine_distance])
def function(request):
    return request.param


@pytest.fixture
def pair(rng):
    return matrices(rng)


@pytest.fixture
def directions(rng):
    return matrices(rng)


@pytest.mark.parametrize("family", list(inputs.FAMILIES))
def test_gradient(family, dtype_name, tf_dtype, function, seed):
    batch = inputs.FAMILIES[family](seed, 16, dtype_name)
    sign = 1 if function is C.cosine_similarity else -1
    x, y, g = (tensor(a, tf_dtype) for a in (batch.x, batch.y, sign * batch.g))
    got, truth, bound = gradient(function, (x, y), g), batch.gradients, bounds.gradient(dtype_name, 16)
    check(batch, got[0], truth.true[0], truth.scale[0], bound)
    check(batch, got[1], truth.true[1], truth.scale[1], bound)


def test_gradient_of_unit_vectors(batch, rows):
    x, u = rows[0], rows[2]
    got = gradient(lambda x: C.normalize(x), (x,), u)[0]
    pairs = list(zip(batch.x, batch.u, strict=True))
    true = list(chain(*(oracle.normalize_vjp(*p) for p in pairs)))
    scale = list(chain(*(oracle.normalize_vjp_scale(*p) for p in pairs)))
    check(batch, got, true, scale, bounds.gradient(batch.dtype, batch.n))


@pytest.mark.parametrize("batch", [17], indirect=True)  # TensorFlow traces again for every shape
def test_total_derivative(batch, rows):
    x, y, u, v, _ = rows
    true, scale = batch.totals
    J = tangent(C.cosine_similarity, (x, y), (u, v))
    check(batch, J, true, scale, bounds.total_derivative(batch.dtype, batch.n))


def test_hessian_product(batch, rows):
    x, y, u, v, g = rows
    got = reverse_over_reverse(C.cosine_similarity, (x, y), (u, v), g)
    truth, bound = batch.hessians, bounds.hessian(batch.dtype, batch.n)
    check(batch, got[0], truth.true[0], truth.scale[0], bound)
    check(batch, got[1], truth.true[1], truth.scale[1], bound)


def true_hessian_product(pair, directions):
    rows = zip(*(t.numpy() for t in (*pair, *directions)), strict=True)
    both = [oracle.hessian_product(*row) for row in rows]
    return [np.array([[float(t) for t in row[k]] for row in both]) for k in (0, 1)]


MODES = {
    "reverse over reverse": reverse_over_reverse,
    "forward over reverse": forward_over_reverse,
    "reverse over forward": reverse_over_forward,
    "reverse over reverse, inside a graph": lambda f, *a: graph(lambda *a: reverse_over_reverse(f, *a))(*a),
    "reverse over forward, inside a graph": lambda f, *a: graph(lambda *a: reverse_over_forward(f, *a))(*a),
    "reverse over reverse, around a graph": lambda f, *a: reverse_over_reverse(graph(f), *a),
    "forward over reverse, around a graph": lambda f, *a: forward_over_reverse(graph(f), *a),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_second_order_in_every_mode(mode, pair, directions):
    got = MODES[mode](C.cosine_similarity, pair, directions)
    for a, b in zip(got, true_hessian_product(pair, directions), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_forward_over_forward(pair, directions):
    got = tangent(lambda *t: tangent(C.cosine_similarity, t, directions), pair, directions)
    products = zip(true_hessian_product(pair, directions), directions, strict=True)
    np.testing.assert_allclose(got, sum((h * d.numpy()).sum(-1) for h, d in products), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("wrapped", [False, True], ids=["eager", "graph"])
def test_modes_are_adjoint(function, pair, directions, wrapped, rng):
    """Check that forward mode and reverse mode are adjoint: <J u, w> = <u, J^T w>."""
    w = tf.constant(rng.standard_normal(4))
    f = graph(function) if wrapped else function
    forward = inner([tangent(f, pair, directions)], [w])
    backward = inner(directions, gradient(f, pair, w))
    np.testing.assert_allclose(forward, backward, rtol=1e-13)


def test_third_order(directions):
    """Compare the derivative of the Hessian-vector product along a direction with finite differences.

    The differences are those of the oracle's product.
    """
    x, y = (tf.constant([[a, b, 1.0]], tf.float64) for a, b in ((0.5, 2.0), (-1.0, 0.25)))
    u, v = (t[:1, :3] for t in directions)

    def product(*t):
        return reverse_over_reverse(C.cosine_similarity, t, (u, v))

    got = gradient(lambda *t: inner(product(*t), (u, v)), (x, y))
    h = 2.0**-20
    up, down = (true_hessian_product((x + s * u, y + s * v), (u, v)) for s in (h, -h))
    rate = sum(((a - b) / (2 * h) * d.numpy()).sum() for a, b, d in zip(up, down, (u, v), strict=True))
    np.testing.assert_allclose(inner(got, (u, v)), rate, rtol=1e-7)


@pytest.mark.parametrize("shape", [(3, 1, 5), (5,), (4, 1)], ids=str)
def test_second_order_of_broadcast_operands(shape, pair, directions, rng):
    """Check that the Hessian-vector product of a broadcast operand is the sum of those of its copies."""
    x, u = (tensor(rng.standard_normal(shape), tf.float64) for _ in range(2))
    y, v = pair[1], directions[1]
    full = np.broadcast_shapes(shape, y.shape)
    hx, hy = reverse_over_reverse(C.cosine_similarity, (x, y), (u, v))
    whole = [tf.constant(np.broadcast_to(t, full)) for t in (x, y, u, v)]
    gx, gy = reverse_over_reverse(C.cosine_similarity, whole[:2], whole[2:])
    for got, expected, like in ((hx, gx, x), (hy, gy, y)):
        axes = [
            i for i in range(len(full)) if ((1,) * (len(full) - like.ndim) + tuple(like.shape))[i] != full[i]
        ]
        summed = expected.numpy().sum(tuple(axes), keepdims=True).reshape(like.shape)
        np.testing.assert_allclose(got, summed, rtol=1e-12, atol=1e-13)


def jacobian(function, pair, method="jacobian", **options):
    with tf.GradientTape() as tape:
        tape.watch(pair[0])
        out = function(*pair)
    return getattr(tape, method)(out, pair[0], **options)


@pytest.mark.parametrize("wrapped", [False, True], ids=["eager", "graph"])
def test_jacobians(pair, wrapped):
    f = graph(C.cosine_similarity) if wrapped else C.cosine_similarity
    g = gradient(f, pair)[0]
    np.testing.assert_array_equal(jacobian(f, pair), np.einsum("ij,ik->ijk", np.eye(4), g))
    kept = lambda x, y: f(x, y, keepdims=True)  # noqa: E731
    np.testing.assert_array_equal(jacobian(kept, pair, "batch_jacobian")[:, 0], g)


def test_jacobian_of_the_gradient_is_the_hessian(pair, directions):
    def first(x, y):
        return gradient(C.cosine_similarity, (x, y))[0]

    H = jacobian(first, pair)
    got = np.einsum("ijkl,kl->ij", H, directions[0])
    zero = (directions[0], tf.zeros_like(pair[1]))
    np.testing.assert_allclose(got, true_hessian_product(pair, zero)[0], rtol=1e-12, atol=1e-14)


LOOPS = {
    "vectorized_map": lambda f, t: tf.vectorized_map(f, t, fallback_to_while_loop=False),
    "map_fn": lambda f, t: tf.map_fn(f, t, fn_output_signature=tf.float64),
    "vectorized_map in a graph": lambda f, t: graph(lambda *t: tf.vectorized_map(f, t, False))(*t),
    "map_fn in a graph": lambda f, t: graph(lambda *t: tf.map_fn(f, t, fn_output_signature=tf.float64))(*t),
}
BODIES = {
    "both": (lambda t: C.cosine_similarity(*t), lambda x, y: C.cosine_similarity(x, y)),
    "one": (lambda t: C.cosine_distance(t[0], Y), lambda x, y: C.cosine_distance(x[:, None], Y)),
    "ranks": (
        lambda t: C.cosine_similarity(t[0], tf.stack([Y, t[1] * Y]), axis=-1),
        lambda x, y: C.cosine_similarity(x[:, None, None], tf.stack([y * 0 + 1, y], 1)[:, :, None] * Y),
    ),
    "gradient": (
        lambda t: gradient(C.cosine_similarity, t)[1],
        lambda x, y: gradient(C.cosine_similarity, (x, y))[1],
    ),
    "gradient of one": (
        lambda t: gradient(C.cosine_similarity, (Y, t[0]))[0],
        lambda x, y: gradient(C.cosine_similarity, (tf.tile(Y[None], [4, 1, 1]), x[:, None]))[0],
    ),
    "normalize": (lambda t: C.normalize(t[0]), lambda x, y: C.normalize(x)),
    "gradient of normalize": (
        lambda t: gradient(C.normalize, t[:1], t[1])[0],
        lambda x, y: gradient(C.normalize, (x,), y)[0],
    ),
}
Y = tf.constant(np.random.default_rng(7).standard_normal((3, 5)))


@pytest.mark.parametrize("body", list(BODIES))
def test_vectorised_loops(body, pair):
    one, all_at_once = BODIES[body]
    got = LOOPS["vectorized_map"](one, pair)
    np.testing.assert_array_equal(got, all_at_once(*pair))


@pytest.mark.parametrize("loop", [name for name in LOOPS if name != "vectorized_map"])
@pytest.mark.parametrize("body", ["both", "gradient"])
def test_loops(loop, body, pair):
    one, all_at_once = BODIES[body]
    np.testing.assert_array_equal(LOOPS[loop](one, pair), all_at_once(*pair))


def test_loops_are_differentiated(pair):
    loop = graph(lambda *t: LOOPS["map_fn"](BODIES["both"][0], t))
    for a, b in zip(gradient(loop, pair), gradient(C.cosine_similarity, pair), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_persistent_tape(pair):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pair)
        S, D = C.cosine_similarity(*pair), C.cosine_distance(*pair)
    for a, b in zip(tape.gradient(S, pair), tape.gradient(D, pair), strict=True):
        np.testing.assert_array_equal(a, -b)


def test_variables(pair):
    x, y = tf.Variable(pair[0]), tf.Variable(pair[1], trainable=False)
    with tf.GradientTape() as tape:
        S = C.cosine_similarity(x, y)
    gx, gy = tape.gradient(S, [x, y])
    np.testing.assert_array_equal(gx, gradient(C.cosine_similarity, pair)[0])
    assert gy is None


@pytest.mark.parametrize("name", ["cosine_similarity", "cosine_distance", "cosine_distance_loss"])
def test_tensorflows_own_check(name, pair):
    theory, numeric = tf.test.compute_gradient(getattr(C, name), pair, delta=2.0**-16)
    for a, b in zip(theory, numeric, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)


def test_graph_gradients(pair, directions):
    """Check `tf.gradients` and `tf.hessians`, which use the graph and no tape."""

    @graph
    def both(x, y):
        S = tf.reduce_sum(C.cosine_similarity(x, y))
        return tf.gradients(S, [x, y]), tf.hessians(S, x)[0]

    (gx, gy), H = both(*pair)
    for a, b in zip((gx, gy), gradient(C.cosine_similarity, pair), strict=True):
        np.testing.assert_array_equal(a, b)
    zero = (directions[0], tf.zeros_like(pair[1]))
    got = np.einsum("ijkl,kl->ij", H, directions[0])
    np.testing.assert_allclose(got, true_hessian_product(pair, zero)[0], rtol=1e-12, atol=1e-14)

"""Tests that values and gradients have the bits of the NumPy frontend, eagerly and in a graph."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_cases import gradient, matrices, same, tangent, tensor

import cosgrad.numpy as N
import cosgrad.tensorflow as C
from cosgrad.verify import inputs

CASES = {
    "rows": ((4, 5), (4, 5), {}),
    "first axis": ((7, 4), (7, 4), {"axis": 0}),
    "middle axis, kept": ((2, 7, 3), (2, 7, 3), {"axis": 1, "keepdims": True}),
    "batches of two ranks": ((3, 1, 5), (4, 5), {}),
    "one vector for all": ((6, 5), (5,), {"eps": 1e-3}),
    "one number for a vector": ((4, 1), (4, 5), {"axis": -1}),
    "axis that only one has": ((3, 4), (2, 3, 4), {"axis": 0}),
    "eps in force": ((4, 5), (4, 5), {"eps": 2.5}),
    "no vectors": ((0, 5), (5,), {}),
    "empty vectors": ((3, 0), (3, 0), {}),
    "numbers": ((), (), {}),
    "more than one thread": ((3000, 257), (3000, 257), {}),
}
BROADCAST = "batches of two ranks"


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


@pytest.fixture
def pair(case, tf_dtype, rng):
    x, y = (tensor(rng.standard_normal(shape), tf_dtype) for shape in case[:2])
    return x, y


def eagerly(function):
    return function


def in_a_graph(function):
    return tf.function(function, autograph=False)


def hold(mode, pair, options, rng):
    x, y = (t.numpy() for t in pair)
    S, D = N.cosine_similarity(x, y, **options), N.cosine_distance(x, y, **options)
    g = rng.standard_normal(S.shape).astype(x.dtype)
    kept = {k: options[k] for k in ("axis", "eps") if k in options}
    expected = S, D, *N.cosine_similarity_grad(x, y, _squeezed(g, options), **kept)

    @mode
    def everything(x, y, g):
        function = lambda x, y: C.cosine_similarity(x, y, **options)  # noqa: E731
        D = C.cosine_distance(x, y, **options)
        return function(x, y), D, *gradient(function, (x, y), g)

    for got, true in zip(everything(*pair, tf.constant(g)), expected, strict=True):
        same(got, true)


def _squeezed(g, options):
    return g.squeeze(options["axis"]) if "keepdims" in options else g


def test_eager(case, pair, rng):
    hold(eagerly, pair, case[2], rng)


@pytest.mark.parametrize("dtype_name", ["float32"])
@pytest.mark.parametrize("case", [CASES[k] for k in CASES if k != "one vector for all"], ids=str)
def test_graph(case, pair, rng):
    hold(in_a_graph, pair, case[2], rng)


def test_every_dtype_in_a_graph(tf_dtype, rng):
    pair = matrices(rng, tf_dtype)
    hold(in_a_graph, pair, {}, rng)


def test_hard_rows(tf_dtype, dtype_name, seed, call):
    """Check hard rows, with subnormal numbers, which TensorFlow's own operations flush in a `tf.function`."""
    batch, _ = inputs.together(inputs.hard(seed, 17, dtype_name))
    x, y, g = (tensor(a, tf_dtype) for a in (batch.x, batch.y, batch.g))
    S, D, (gx, gy) = call(
        lambda x, y, g: (
            C.cosine_similarity(x, y),
            C.cosine_distance(x, y),
            gradient(C.cosine_similarity, (x, y), g),
        ),
        x,
        y,
        g,
    )
    x, y, g = (t.numpy() for t in (x, y, g))
    same(S, N.cosine_similarity(x, y))
    same(D, N.cosine_distance(x, y))
    expected = N.cosine_similarity_grad(x, y, g)
    same(gx, expected[0])
    same(gy, expected[1])


@pytest.mark.parametrize("eps", [0.0, 1.5])
@pytest.mark.parametrize("axis", [0, -1])
def test_unit_vectors(tf_dtype, axis, eps, rng):
    x = tensor(rng.standard_normal((6, 7)), tf_dtype)
    same(C.normalize(x, axis=axis, eps=eps), N.normalize(x.numpy(), axis=axis, eps=eps))


def test_unit_vectors_in_a_graph(rng):
    x, g = matrices(rng, tf.float32)
    unit, gx = tf.function(lambda x, g: (C.normalize(x), gradient(C.normalize, (x,), g)), autograph=False)(
        x, g
    )
    same(unit, N.normalize(x.numpy()))
    same(gx[0], gradient(C.normalize, (x,), g)[0].numpy())


def test_tangents(call, rng):
    x, y = matrices(rng, tf.float32)
    u, v = matrices(rng, tf.float32)
    got = call(lambda *t: tangent(C.cosine_similarity, t[:2], t[2:]), x, y, u, v)
    same(got, N.cosine_similarity_jvp(*(t.numpy() for t in (x, y, u, v))))


def test_the_graph_runs_the_operations(rng):
    x, y = matrices(rng, tf.float32)

    @tf.function(autograph=False)
    def step(x, y):
        return gradient(C.cosine_distance, (x, y))

    graph = step.get_concrete_function(x, y).graph.as_graph_def()
    used = {node.op for function in graph.library.function for node in function.node_def}
    assert {"CosgradDistance", "CosgradGradient"} <= used
    assert not used & {"CosgradGradientX", "CosgradGradientY"}


def test_what_is_not_needed_is_not_computed(rng):
    x, y = matrices(rng, tf.float32)
    seen = []

    class Spy:
        def __getattr__(self, name):
            seen.append(name)
            return getattr(operations, name)

    from cosgrad.tensorflow import _native

    operations = _native.OPERATIONS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "OPERATIONS", Spy())
        with tf.GradientTape() as tape:
            tape.watch(y)
            S = C.cosine_similarity(x, y)
        assert seen == []
        tape.gradient(S, y)
    assert seen == ["cosgrad_gradient_y"]


def test_a_broadcast_operand_is_not_materialised(rng):
    """Check that the core, not TensorFlow, sums the gradient of this operand, in the order of the core."""
    x, y = (
        tensor(rng.standard_normal((1, 33)), tf.float16),
        tensor(rng.standard_normal((500, 33)), tf.float16),
    )
    got = gradient(C.cosine_similarity, (x, y))
    expected = N.cosine_similarity_grad(x.numpy(), y.numpy())
    same(got[0], expected[0])
    rows = N.cosine_similarity_grad(np.repeat(x.numpy(), 500, 0), y.numpy())[0]
    assert not np.array_equal(expected[0], rows.sum(0, keepdims=True))

"""Tests of shapes that are unknown while tracing, of XLA, saved models and threads."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import ranges
import tensorflow as tf
from tensorflow_cases import gradient, matrices, reverse_over_reverse, same, tangent, tensor

import cosgrad.numpy as N
import cosgrad.tensorflow as C
from cosgrad.closed import SIMILARITY, Rule
from cosgrad.verify import bounds, inputs, oracle
from cosgrad.verify.ulp import FORMATS, errors

SIGNATURES = {
    "rows": ((None, 5), (None, 5)),
    "ranks": ((None, None, 5), (None, None)),
    "nothing": (None, None),
}


def traced(function, shapes, dtype=tf.float32, **options):
    specs = [tf.TensorSpec(shape, dtype) for shape in shapes]
    return tf.function(function, input_signature=specs, autograph=False, **options)


@pytest.fixture(params=list(SIGNATURES))
def shapes(request):
    return SIGNATURES[request.param]


@pytest.mark.parametrize("axis", [-1, 0])
def test_unknown_shapes(shapes, axis, rng):
    ranked = shapes[0] and len(shapes[0]) == 3
    x = tensor(rng.standard_normal((3, 1, 5) if ranked else (1, 5)), tf.float32)
    y = tensor(rng.standard_normal((4, 5) if ranked or axis else (1, 5)), tf.float32)

    @traced_with(shapes)
    def function(x, y):
        S = C.cosine_similarity(x, y, axis=axis)
        return S, C.normalize(x), *gradient(lambda x, y: C.cosine_distance(x, y, axis=axis), (x, y))

    S, unit, gx, gy = function(x, y)
    a, b = x.numpy(), y.numpy()
    expected = N.cosine_similarity(a, b, axis=axis)
    same(S, expected)
    same(unit, N.normalize(a))
    g = N.cosine_similarity_grad(a, b, -np.ones_like(expected), axis=axis)
    same(gx, g[0])
    same(gy, g[1])


def traced_with(shapes):
    return lambda function: traced(function, shapes)


def test_known_lengths_are_told():
    specs = tf.TensorSpec((None, 1, 5), tf.float32), tf.TensorSpec((7, 5), tf.float32)

    @tf.function(input_signature=specs, autograph=False)
    def function(x, y):
        S = C.cosine_similarity(x, y, keepdims=True)
        g = gradient(C.cosine_distance, (x, y))
        return S, C.cosine_distance(x, y, axis=0), C.normalize(x), *g, C.cosine_distance_loss(x, y)

    shapes = [list(t.shape) for t in function.get_concrete_function().outputs]
    assert shapes == [[None, 7, 1], [7, 5], [None, 1, 5], [None, 1, 5], [7, 5], []]


def test_the_operations_know_ranks_without_python(rng):
    """Check the shapes that the operations infer: an imported graph contains no shapes of results."""
    operation = C._native.OPERATIONS.cosgrad_similarity
    shapes = []

    @tf.function(autograph=False)
    def function(x, y, z):
        shapes.extend(operation(a, b, axis=1, eps_bits=0).shape for a, b in ((x, y), (x, z), (z, z)))

    function.get_concrete_function(tf.TensorSpec((4, 4, 4)), tf.TensorSpec((None, 1, 4)), tf.TensorSpec(None))
    assert shapes[0] == [4, 4]
    assert [s.rank for s in shapes] == [2, None, None]


@pytest.mark.parametrize(
    ("x", "y", "axis", "message"),
    [
        ((2, 3), (4,), -1, "x of shape (2, 3) and y of shape (4,) must broadcast to one shape"),
        ((2, 3), (2, 3), 2, "axis=2 is out of range for tensors of rank 2"),
        ((), (), -2, "axis=-2 is out of range for tensors of rank 0"),
    ],
)
def test_the_run_says_what_tracing_could_not(x, y, axis, message):
    function = traced(lambda x, y: C.cosine_similarity(x, y, axis=axis), (None, None))
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
        function(tf.ones(x), tf.ones(y))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        C.cosine_similarity(tf.ones(x), tf.ones(y), axis=axis)


def test_the_run_calls_arguments_by_their_names():
    loss = traced(C.cosine_distance_loss, (None, None))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"labels of shape \(2,\) and predictions of shape \(3,\)"
    ):
        loss(tf.ones(2), tf.ones(3))


OPTIONS = [
    {"weights": weights, "reduction": reduction}
    for weights in (None, "w")
    for reduction in ("none", "sum", "mean", "weighted_mean", "nonzero_mean")
]


@pytest.mark.parametrize("shapes", [((None, 5), (None, 5), (None,)), (None, None, None)], ids=str)
def test_losses_of_unknown_shapes(shapes, rng):
    tensors = *matrices(rng, tf.float32), tf.constant([0.5, 0.0, 2.0, 1.0])

    def losses(x, y, w):
        options = [o | {"weights": w if o["weights"] else None} for o in OPTIONS]
        return [C.cosine_distance_loss(x, y, **o) for o in options]

    for got, expected in zip(traced(losses, shapes)(*tensors), losses(*tensors), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2.0**-23)


def test_weights_of_unknown_shape_do_not_enlarge():
    loss = traced(lambda x, w: C.cosine_distance_loss(x, x, weights=w), (None, None))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"broadcast tensor of shape \[2\] to .* \[1\]"):
        loss(tf.ones((1, 3)), tf.ones(2))


def every_form(x, y, g, u, v):
    """Return derivatives in closed form, under the names of `ranges.Rows`."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        S = C.cosine_similarity(x, y)
    rule = Rule(1, 0.0, SIMILARITY)
    return {
        "gx": tape.gradient(S, x, output_gradients=g[:, 0]),
        "J": C._closed.tangent(x, y, u, v, rule),
        "hx": C._closed.curvature(x, y, u, v, g[:, 0], rule)[0],
    }


def range_of(dtype_name, n):
    rows = ranges.rows(dtype_name, n, subnormal=False)
    dtype = tf.as_dtype(dtype_name)
    return rows, [tensor(t, dtype) for t in (rows.x, rows.y, rows.g, rows.u, rows.v)]


def test_both_ends_of_the_range_compiled(dtype_name):
    """Check components from the smallest normal to the largest number. XLA may rearrange the formulas."""

    @tf.function(jit_compile=True, autograph=False)
    def function(pairs):
        forms = {"S": C.cosine_similarity, "D": C.cosine_distance, "unit": lambda x, y: C.normalize(x)}
        return [{k: form(*pair) for k, form in forms.items()} for pair in pairs]

    batches = [range_of(dtype_name, n) for n in ranges.LENGTHS]
    for (rows, _), got in zip(batches, function([arrays[:2] for _, arrays in batches]), strict=True):
        rows.check(dtype_name, False, **{k: t.numpy() for k, t in got.items()})


@pytest.mark.parametrize("dtype_name", ["bfloat16", "float64"])  # computed in float32, in float64
def test_derivatives_at_both_ends_of_the_range_compiled(dtype_name):
    rows, arrays = range_of(dtype_name, 64)
    got = tf.function(every_form, jit_compile=True, autograph=False)(*arrays)
    rows.check(dtype_name, False, **{k: t.numpy() for k, t in got.items()})


def test_subnormal_components_count_as_zeros_when_compiled(tf_dtype, dtype_name):
    """Check that subnormal components count as zeros, except those of float16.

    XLA flushes them on the CPU. The kernel does not.
    """
    f = FORMATS[dtype_name]
    tiny, least = 2.0 ** (1 - f.emax), 3 * f.least
    x, y = tensor([[least, 0], [tiny, least]], tf_dtype), tensor([[1, 2], [1, 2]], tf_dtype)
    S, D, unit = tf.function(
        lambda x, y: (C.cosine_similarity(x, y), C.cosine_distance(x, y), C.normalize(x)), jit_compile=True
    )(x, y)
    kept = tensor([[least, 0], [tiny, least]] if f.emax < 16 else [[0, 0], [tiny, 0]], tf_dtype)
    for got, function in ((S, C.cosine_similarity), (D, C.cosine_distance)):
        np.testing.assert_allclose(
            tf.cast(got, tf.float64), tf.cast(function(kept, y), tf.float64), rtol=8 * f.unit
        )
    expected = tf.cast(C.normalize(kept), tf.float64)
    np.testing.assert_allclose(tf.cast(unit, tf.float64), expected, rtol=8 * f.unit)
    pair = oracle.Pair([tiny, least], [1, 2])
    assert abs(float(C.cosine_similarity(x, y)[1]) - float(pair.similarity)) <= 2 * f.unit


@pytest.fixture
def hard(dtype_name, seed):
    families = inputs.ordinary(seed, 100, dtype_name, 27), inputs.angles(seed, 100, dtype_name)
    return inputs.together(families)[0]


def test_compiled(hard, tf_dtype):
    """Check the error bounds of compiled functions.

    S is within 8 ulp and 2^-20. The relative error of D is at most 2^-22 over the angle, plus its rounding.
    Derivatives are as accurate as the textbook formula.
    """
    orders = (1, 2) if tf_dtype == tf.float32 else (1,)  # compiling the second order takes seconds

    @tf.function(jit_compile=True, autograph=False)
    def function(x, y, g, u, v):
        derivatives = [gradient(C.cosine_similarity, (x, y), g)]
        if 2 in orders:
            derivatives += [reverse_over_reverse(C.cosine_similarity, (x, y), (u, v), g)]
        return C.cosine_similarity(x, y), C.cosine_distance(x, y), derivatives

    tensors = [tensor(getattr(hard, name), tf_dtype) for name in ("x", "y", "g", "u", "v")]
    S, D, derivatives = tf.nest.map_structure(lambda t: t.numpy().astype(np.float64), function(*tensors))
    f = FORMATS[hard.dtype]
    true = np.array([float(t) for t in hard.similarities])
    assert np.all(np.abs(S - true) <= 16 * f.unit * np.abs(true) + 2.0**-20)
    true, angle = (np.array([float(t) for t in a]) for a in (hard.distances, [p.angle for p in hard.pairs]))
    rounding = f.unit if f.digits < 24 else 0.0
    excess = np.abs(D - true) - true * (2.0**-22 / angle + rounding) - f.least / 2
    assert np.all(excess[angle > 1e-2] <= 0)
    bound = bounds.textbook(hard.dtype, hard.n)
    for got, truth in zip(derivatives, (hard.gradients, hard.hessians), strict=False):
        for k in (0, 1):
            measured = errors(got[k].ravel(), truth.true[k], hard.dtype)
            assert np.all(measured.ulp <= bound.allowed(measured.in_ulp(truth.scale[k])))


def test_compiled_zero_and_non_finite_rows():
    x = tf.constant([[0.0, 0], [0, 0], [np.nan, 0], [np.inf, 1], [1, 2], [1, 2]])
    y = tf.constant([[0.0, 0], [3, 4], [0, 0], [1, 2], [0, -np.inf], [3, 6]])

    @tf.function(jit_compile=True, autograph=False)
    def function(x, y):
        return C.cosine_similarity(x, y), C.cosine_distance(x, y), gradient(C.cosine_similarity, (x, y))[0]

    S, D, g = function(x, y)
    np.testing.assert_array_equal(S, [0, 0, np.nan, np.nan, np.nan, 1])
    np.testing.assert_array_equal(D, [1, 1, np.nan, np.nan, np.nan, 0])
    np.testing.assert_array_equal(g[:2], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("shapes", "known"),
    [
        (((3, 1, 5), (4, 5)), True),
        (((3, 1, 5), (4, 5)), False),
        (((4, 1), (4, 5)), True),
        (((), ()), False),
    ],
    ids=str,
)
def test_compiled_broadcasting(shapes, known, rng):
    x, y = (tensor(rng.standard_normal(shape), tf.float64) for shape in shapes)

    def both(x, y):
        return C.cosine_similarity(x, y), *gradient(C.cosine_similarity, (x, y))

    compiled = traced(both, shapes if known else (None, None), tf.float64, jit_compile=True)
    for got, expected in zip(compiled(x, y), both(x, y), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_compiled_tangents(rng):
    x, y = matrices(rng)
    u, v = matrices(rng)
    compiled = tf.function(
        lambda *t: tangent(C.cosine_similarity, t[:2], t[2:]), jit_compile=True, autograph=False
    )
    expected = N.cosine_similarity_jvp(*(t.numpy() for t in (x, y, u, v)))
    np.testing.assert_allclose(compiled(x, y, u, v), expected, rtol=1e-13, atol=1e-15)


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 5)), tf.TensorSpec((None, 5))], autograph=False)
    def loss(self, x, y):
        return C.cosine_distance_loss(x, C.normalize(y), weights=[1.0, 0.0, 2.0, 1.0], reduction="none")

    @tf.function(input_signature=[tf.TensorSpec((4, 5)), tf.TensorSpec((4, 5))], autograph=False)
    def step(self, x, y):
        return gradient(C.cosine_distance, (x, y))[1]


MANY = 300_000, 3

CHILD = """
import sys
import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
try:
    tf.saved_model.load(sys.argv[1])
except RuntimeError as error:
    missing = str(error)

import cosgrad.tensorflow as C

model = tf.saved_model.load(sys.argv[1])
inputs = np.load(sys.argv[1] + "/inputs.npz")
x, y = tf.constant(inputs["x"]), inputs["y"]
with tf.GradientTape() as tape:
    tape.watch(x)
    loss = model.loss(x, y)
mean = C.cosine_distance_loss(inputs["a"], inputs["b"])
results = {"loss": loss, "gradient": tape.gradient(loss, x), "step": model.step(x, y), "mean": mean}
np.savez(sys.argv[1] + "/results.npz", missing=missing, **results)
"""


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    """Return the results of a new process with one thread. It loads a model that this process saved."""
    path = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(20261121)
    names = {"x": (4, 5), "y": (4, 5), "a": MANY, "b": MANY}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in names.items()}
    tf.saved_model.save(Model(), str(path))
    np.savez(path / "inputs.npz", **arrays)
    environment = os.environ | {"COSGRAD_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return arrays, np.load(path / "results.npz")


def test_saved_models(child):
    arrays, got = child
    x, y = arrays["x"], arrays["y"]
    unit, w = N.normalize(y), np.float32([1, 0, 2, 1])
    np.testing.assert_array_equal(got["loss"], w * N.cosine_distance(x, unit))
    np.testing.assert_array_equal(got["gradient"], N.cosine_similarity_grad(x, unit, -w)[0])
    np.testing.assert_array_equal(got["step"], N.cosine_similarity_grad(x, y, -np.ones(4, np.float32))[1])


def test_a_saved_model_wants_the_operations_to_be_loaded(child):
    assert "Op type not registered 'Cosgrad" in str(child[1]["missing"])


def test_the_number_of_threads_changes_nothing(child):
    """Check that neither the core's threads nor TensorFlow's, which sum a loss, change a bit."""
    arrays, got = child
    same(C.cosine_distance_loss(arrays["a"], arrays["b"]), got["mean"])


def test_distributed_values_of_one_process(rng):
    """Check that the functions also work in a replica of a strategy."""
    x, y = matrices(rng, tf.float32)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    same(strategy.run(tf.function(C.cosine_similarity), (x, y)), N.cosine_similarity(x.numpy(), y.numpy()))

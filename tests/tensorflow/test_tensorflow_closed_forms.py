"""Tests of functions that contain only TensorFlow's own operations.

They are saved, loaded without cosgrad, and converted.
"""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_cases import gradient, matrices, same

import cosgrad.numpy as N
import cosgrad.tensorflow as C


class Ranker(tf.Module):
    """The saved functions: rows of any number, tensors of any rank, and a gradient inside a function."""

    @tf.function(input_signature=[tf.TensorSpec((None, 5)), tf.TensorSpec((None, 5))], autograph=False)
    def distance(self, x, y):
        return C.cosine_distance(x, y)

    @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)], autograph=False)
    def columns(self, x, y):
        return C.cosine_similarity(x, y, axis=1)

    @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)], autograph=False)
    def from_behind(self, x, y):
        return C.cosine_similarity(x, y, axis=-2)

    @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)], autograph=False)
    def last(self, x, y):
        return C.cosine_similarity(x, y), C.normalize(x)

    @tf.function(input_signature=[tf.TensorSpec((None, 5)), tf.TensorSpec((None, 5))], autograph=False)
    def step(self, x, y):
        return gradient(lambda x, y: C.cosine_distance_loss(x, y), (x, y))


WITHOUT = """
import os
import sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

x, y = map(tf.constant, np.load(sys.argv[2]).values())
loaded = tf.saved_model.load(sys.argv[1])
with tf.GradientTape() as tape:
    tape.watch(x)
    D = loaded.distance(x, y)
S, unit = loaded.last(x, y)
scalar, one = loaded.last(x[0, 0], y[0, 0])
refused = []
for function, arguments in ((loaded.columns, (x[0], y[0])), (loaded.from_behind, (x[0], y[0]))):
    try:
        function(*arguments)
    except tf.errors.InvalidArgumentError:
        refused.append(1)
np.savez(sys.argv[3], D, tape.gradient(D, x), *loaded.step(x, y), S, unit, loaded.columns(x, y), scalar, one)
assert len(refused) == 2, "an axis that does not exist is refused"
assert "cosgrad" not in sys.modules
"""


def test_closed_forms_are_loaded_without_cosgrad(rng, tmp_path):
    """Check that a SavedModel of TensorFlow's own operations runs without cosgrad.

    The process has not imported cosgrad. The model contains gradients.
    """
    x, y = rng.standard_normal((2, 3, 5)).astype(np.float32)
    with C.closed_forms():
        tf.saved_model.save(Ranker(), tmp_path / "model")
    np.savez(tmp_path / "in.npz", x=x, y=y)
    paths = map(str, (tmp_path / "model", tmp_path / "in.npz", tmp_path / "out.npz"))
    done = subprocess.run([sys.executable, "-c", WITHOUT, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as file:
        got = list(file.values())
    D = N.cosine_distance(x, y)
    g, h = (N.cosine_similarity_grad(x, y, np.full(3, k, np.float32)) for k in (-1, -1 / 3))
    S = N.cosine_similarity(x, y)
    sign = np.float32(np.sign(x[0, 0]))
    expected = [D, g[0], *h, S, N.normalize(x), S, np.float32(np.sign(y[0, 0])) * sign, sign]
    for a, b in zip(got, expected, strict=True):
        assert a.shape == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def names_of(graph):
    """Return the names of all operations of a graph and its functions."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return {node.op for node in nodes}


def test_closed_forms_hold_no_operation_of_ours(rng):
    """Check that closed forms contain no operation of cosgrad.

    The same holds for their gradients, even if these are traced later, outside the context. After the context
    the kernel is used again.
    """
    x, y = matrices(rng, tf.float32)
    ours = lambda names: any("Cosgrad" in name for name in names)  # noqa: E731
    with C.closed_forms():
        function = Ranker().distance
        graph = function.get_concrete_function().graph
        eager = C.cosine_distance(x, y)

    @tf.function(autograph=False)
    def outside(x, y):
        return gradient(function, (x, y))

    assert not ours(names_of(graph))
    assert not ours(names_of(outside.get_concrete_function(x, y).graph))
    assert ours(names_of(Ranker().distance.get_concrete_function().graph))
    expected = N.cosine_distance(x.numpy(), y.numpy())
    np.testing.assert_allclose(eager, expected, rtol=1e-6)
    same(C.cosine_distance(x, y), expected)


# The gradient of an unknown number of rows needs BroadcastGradientArgs, which TensorFlow Lite itself does not
# have.
LITE = {
    "cosine_distance": (C.cosine_distance, N.cosine_distance, None),
    "normalize": (lambda x, y: C.normalize(x) + 0 * y, lambda x, y: N.normalize(x), None),
    "pairwise": (C.pairwise_cosine_similarity, N.pairwise_cosine_similarity, None),
    "loss": (C.cosine_distance_loss, N.cosine_distance_loss, None),
    "gradient": (
        lambda x, y: gradient(C.cosine_similarity, (x, y))[0],
        lambda x, y: N.cosine_similarity_grad(x, y)[0],
        4,
    ),
}


@pytest.mark.parametrize("name", list(LITE))
def test_closed_forms_go_to_tensorflow_lite(name, rng):
    """Check that closed forms without float64 need only the operations of TensorFlow Lite itself."""
    function, truth, count = LITE[name]
    pair = rng.standard_normal((2, 4, 5)).astype(np.float32)
    rows = tf.TensorSpec((count, 5))
    with C.closed_forms(float64=False):
        graph = tf.function(function, autograph=False).get_concrete_function(rows, rows)
        model = tf.lite.TFLiteConverter.from_concrete_functions([graph], graph).convert()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow deprecates its own interpreter
        interpreter = tf.lite.Interpreter(model_content=model)
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    for index in inputs:
        interpreter.resize_tensor_input(index, (4, 5))
    interpreter.allocate_tensors()
    for index, t in zip(inputs, pair, strict=True):
        interpreter.set_tensor(index, t)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, truth(*pair), rtol=1e-5, atol=1e-6)

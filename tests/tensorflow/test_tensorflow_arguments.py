"""Tests of the arguments that the TensorFlow frontend accepts and refuses, and of its error messages."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_cases import matrices, same

import cosgrad.numpy as N
import cosgrad.tensorflow as C
from cosgrad.require import require

PAIR = [
    C.cosine_similarity,
    C.cosine_distance,
    C.cosine_distance_loss,
    lambda x, y: C.cosine_embedding_loss(x, y, 1),
]


@pytest.fixture(params=PAIR)
def function(request):
    return request.param


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_lists_and_numbers_take_the_dtype_of_the_other(function, dtype):
    x = tf.constant([1.0, 2.0], dtype)
    assert function(x, [2, 1.0]).dtype == dtype
    assert function([2, 1.0], x).dtype == dtype
    assert function(x, 2).dtype == dtype


def test_what_tensorflow_makes_a_tensor_of(function):
    expected = function(tf.constant([1.0, 2.0]), tf.constant([2.0, 1.0]))
    for x in ([1, 2], (1.0, 2), np.float32([1, 2]), tf.Variable([1.0, 2.0]), tf.keras.Variable([1.0, 2.0])):
        same(function(x, [2, 1.0]), expected.numpy())
    assert expected.dtype == tf.float32


def test_tensors_of_two_dtypes(function):
    x, y = tf.constant([1.0, 2.0]), np.ones(2)
    with pytest.raises(TypeError, match=r"is of dtype float32 and \w+ of dtype float64, must be of one"):
        function(x, y)
    with pytest.raises(TypeError, match=r"is of dtype float64 and \w+ of dtype float32, must be of one"):
        function(y, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            tf.constant([1, 2]),
            "is of dtype int32, must be floating, that is float16, bfloat16, float32 or float64",
        ),
        (np.array([True, False]), "is of dtype bool, must be floating"),
        ([1j, 2], "is of dtype complex128, must be floating"),
        (["a", "b"], "is of dtype string, must be floating"),
        (tf.ragged.constant([[1.0], [1.0, 2.0]]), "is a RaggedTensor, must be dense"),
        (tf.sparse.from_dense([1.0, 2.0]), "is a SparseTensor, must be dense"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_other_dtypes_and_kinds_are_refused(function, x, message):
    with pytest.raises(TypeError, match=message):
        function(x, [1.0, 2.0])
    with pytest.raises(TypeError, match=message):
        function([1.0, 2.0], x)
    with pytest.raises(TypeError, match="x " + message):
        C.normalize(x)


def test_keras_inputs_are_refused_in_keras_words(function):
    with pytest.raises(ValueError, match="A KerasTensor"):
        function(tf.keras.Input((3,)), [1.0])


MESSAGES = {
    "x of shape (2, 3) and y of shape (4,) must broadcast to one shape": lambda F, a: F.cosine_similarity(
        a((2, 3)), a((4,))
    ),
    "labels of shape (2,) and predictions of shape (3,) must broadcast to one shape": (
        lambda F, a: F.cosine_distance_loss(a((2,)), a((3,)))
    ),
    "x1 of shape (2,) and x2 of shape (3,) must broadcast to one shape": (
        lambda F, a: F.cosine_embedding_loss(a((2,)), a((3,)), 1)
    ),
    "eps=-1 must be at least 0": lambda F, a: F.cosine_distance(a((2,)), a((2,)), eps=-1),
    "eps=nan must be at least 0": lambda F, a: F.normalize(a((2,)), eps=float("nan")),
    "axis=1.5 must be an integer": lambda F, a: F.normalize(a((2,)), axis=1.5),
    "weights of shape (2,) must broadcast to the losses' shape (1,) without enlarging it": (
        lambda F, a: F.cosine_distance_loss(a((1, 3)), a((1, 3)), weights=a((2,)))
    ),
    "target of shape (2, 1) must broadcast to the losses' shape (2,) without enlarging it": (
        lambda F, a: F.cosine_embedding_loss(a((2, 3)), a((2, 3)), a((2, 1)))
    ),
    "reduction='average' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'": (
        lambda F, a: F.cosine_distance_loss(a((2,)), a((2,)), reduction="average")
    ),
    "target holds 0.0, must hold only +1 and -1": (
        lambda F, a: F.cosine_embedding_loss(a((2, 3)), a((2, 3)), 0 * a((2,)))
    ),
}


@pytest.mark.parametrize("message", list(MESSAGES))
def test_messages_are_those_of_numpy(message):
    ones = lambda shape: np.ones(shape, np.float32)  # noqa: E731
    with pytest.raises((ValueError, TypeError)) as numpy:
        MESSAGES[message](N, ones)
    with pytest.raises((ValueError, TypeError)) as ours:
        MESSAGES[message](C, lambda shape: tf.constant(ones(shape)))
    assert str(ours.value) == str(numpy.value) == message


@pytest.mark.parametrize("axis", [2, -3])
def test_axes_out_of_range(axis):
    message = f"axis={axis} is out of range for tensors of rank 2"
    with pytest.raises(ValueError, match=message):
        C.cosine_similarity(tf.ones((2, 3)), tf.ones(3), axis=axis)
    with pytest.raises(ValueError, match=message):
        C.normalize(tf.ones((2, 3)), axis=axis)


@pytest.mark.parametrize("weights", [[1j], ["a"]])
def test_weights_are_real(weights):
    with pytest.raises(TypeError, match="weights is of dtype"):
        C.cosine_distance_loss([[1.0]], [[1.0]], weights=weights)


def test_what_is_known_while_tracing_is_said_while_tracing():
    x, y = tf.TensorSpec((None, 3)), tf.TensorSpec((None, 4))
    with pytest.raises(ValueError, match=r"x of shape \(None, 3\) and y of shape \(None, 4\) must broadcast"):
        tf.function(C.cosine_similarity, autograph=False).get_concrete_function(x, y)


def test_without_tensor_equality(rng, monkeypatch):
    """Check that disabled tensor equality is an error.

    After `disable_v2_behavior`, == compares identities, which would give wrong numbers without an error.
    """
    x, y = matrices(rng)
    tf.compat.v1.disable_tensor_equality()
    try:
        with pytest.raises(RuntimeError, match="enable_tensor_equality"):
            C.cosine_similarity(x, y)
        C.compat.cosine_distance(x, y, 1)
    finally:
        tf.compat.v1.enable_tensor_equality()


def test_a_missing_framework(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError) as error:
        require("tensorflow", "tensorflow", "2.16")
    expected = (
        'cosgrad.tensorflow needs TensorFlow, which is not installed: pip install "cosgrad[tensorflow]"'
    )
    assert str(error.value) == expected


def test_an_old_framework(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.9.3")
    with pytest.raises(ImportError, match=r"needs TensorFlow 2\.16 or newer, and 2\.9\.3 is installed"):
        require("tensorflow", "tensorflow", "2.16")


def test_what_a_framework_lacks_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "broken_framework.py").write_text("import absent_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="absent_library"):
        require("broken_framework", "all")


NOT_REAL = {
    "complex number": 1j,
    "complex list": [[1j, 2]],
    "complex array": np.array([[1j, 2]]),
    "complex tensor": tf.constant([[1j, 2]]),
    "text": [["a", "b"]],
    "objects": np.array([[None, 1]]),
    "list of objects": [[object(), 1]],
}


@pytest.mark.parametrize("kind", list(NOT_REAL))
def test_what_is_not_real_is_refused(kind):
    """Check that every argument of every loss refuses numbers that are not real.

    TensorFlow would cast them, and the cast would drop an imaginary part.
    """
    bad, x = NOT_REAL[kind], tf.constant([[1.0, 2.0]])
    calls = {
        "labels": lambda: C.compat.cosine_distance(bad, x, 1),
        "predictions": lambda: C.compat.cosine_distance(x, bad, 1),
        "weights": lambda: C.compat.cosine_distance(x, x, 1, weights=bad),
        "weights ": lambda: C.cosine_distance_loss(x, x, weights=bad),
        "target": lambda: C.cosine_embedding_loss(x, x, bad),
        "margin": lambda: C.cosine_embedding_loss(x, x, [1], margin=bad),
        "y": lambda: C.pairwise_cosine_similarity(x, bad),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"{name.strip()} is of dtype (complex|string|object)"):
            call()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("numbers", [[[70000, 1]], [[70000.0, 1.0]]])
def test_numbers_beside_half_types_lose_nothing(dtype, numbers):
    """Check that numbers beside half types lose no digits.

    float16 cannot represent 70000. So both operands are computed in float32, and the result has the tensor's
    dtype.
    """
    y = tf.constant([[1.0, 2.0]], dtype)
    expected = N.cosine_similarity(np.array([[70000.0, 1.0]]), np.array([[1.0, 2.0]]))
    for x in (y, tf.Variable(y)):
        results = [
            (C.cosine_similarity(numbers, x), expected),
            (C.cosine_distance(x, numbers, keepdims=True), 1 - expected[:, None]),
            (C.pairwise_cosine_similarity(numbers, x), expected[:, None]),
            (C.cosine_distance_loss(x, numbers), 1 - expected[0]),
            (C.cosine_embedding_loss(x, numbers, [1]), 1 - expected[0]),
        ]
        for got, true in results:
            assert got.dtype == dtype
            np.testing.assert_allclose(tf.cast(got, tf.float64), true, rtol=2.0**-8)
    with tf.GradientTape() as tape:
        tape.watch(y)
        S = C.cosine_similarity(numbers, y)
    true = N.cosine_similarity_grad(np.array([[70000.0, 1.0]]), np.array([[1.0, 2.0]]))[1]
    np.testing.assert_allclose(tf.cast(tape.gradient(S, y), tf.float64), true, rtol=2.0**-8)

"""Tests of the Keras losses and metrics on the backend of this process.

`test_keras_backends.py` runs them on each backend.
"""

import logging
from importlib import import_module

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common.masking import set_keras_mask

import cosgrad.keras as frontend
import cosgrad.numpy as exact

# Keras causes this warning: it makes NumPy arrays of tensors by a protocol that NumPy has extended since.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

LOSSES = {"distance": (frontend.CosineDistance, exact.cosine_distance, 1.0)}
LOSSES["similarity"] = (frontend.CosineSimilarity, exact.cosine_similarity, -1.0)
METRICS = {"distance": (frontend.metrics.CosineDistance, exact.cosine_distance)}
METRICS["similarity"] = (frontend.metrics.CosineSimilarity, exact.cosine_similarity)
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]

which = pytest.mark.parametrize("which", ["distance", "similarity"])
reductions = pytest.mark.parametrize("reduction", REDUCTIONS)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x, y = rng.standard_normal((2, 6, 5)).astype(np.float32)
    return x, y


WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.0], np.float32)


def array(t: object) -> np.ndarray:
    return ops.convert_to_numpy(t)


def gradient(
    loss: keras.losses.Loss, y_true: np.ndarray, y_pred: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the gradient in `y_pred`, computed by the backend's own differentiation."""
    backend = keras.backend.backend()
    framework = import_module(backend)
    if backend == "jax":
        return np.asarray(framework.grad(lambda p: loss(y_true, p, weights))(y_pred))
    if backend == "torch":
        p = framework.tensor(y_pred, requires_grad=True)
        return framework.autograd.grad(loss(y_true, p, weights), p)[0].numpy()
    p = framework.convert_to_tensor(y_pred)
    with framework.GradientTape() as tape:
        tape.watch(p)
        value = loss(y_true, p, weights)
    return tape.gradient(value, p).numpy()


@which
@pytest.mark.parametrize("axis", [-1, 0])
def test_values_are_the_kernels(which, axis, pair):
    loss, value, sign = LOSSES[which]
    got = array(loss(axis=axis, reduction="none")(*pair))
    np.testing.assert_array_equal(got, sign * value(*pair, axis=axis))


@reductions
@pytest.mark.parametrize(
    "weights", [None, WEIGHTS, WEIGHTS[:, None], 0 * WEIGHTS], ids=["no", "N", "N1", "zero"]
)
def test_reductions_are_keras_own(reduction, weights, pair):
    ours, theirs = (
        frontend.CosineSimilarity(reduction=reduction),
        keras.losses.CosineSimilarity(reduction=reduction),
    )
    # Both results are float32. Those of Keras have lost one or two bits in the norms.
    np.testing.assert_allclose(
        array(ours(*pair, weights)),
        # Keras makes the shape (N, 1) of (N,).
        array(theirs(*pair, weights)).reshape(array(ours(*pair, weights)).shape),
        rtol=1e-6,
        atol=2e-6,
    )


@which
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_a_zero_weight_excludes_its_row(which, reduction, pair):
    loss = LOSSES[which][0](reduction=reduction)
    broken = pair[1].copy()
    broken[2] = np.nan
    assert array(loss(pair[0], broken, WEIGHTS)) == array(loss(*pair, WEIGHTS))
    got = gradient(loss, pair[0], broken, WEIGHTS)
    np.testing.assert_array_equal(got, gradient(loss, *pair, WEIGHTS))
    np.testing.assert_array_equal(got[2], 0)
    assert np.isnan(array(loss(pair[0], broken)))


@which
def test_gradients_are_the_kernels(which, pair):
    loss, _, sign = LOSSES[which]
    _, want = exact.cosine_similarity_grad(*pair, WEIGHTS * (1 if which == "similarity" else -1))
    np.testing.assert_array_equal(
        gradient(loss(reduction="sum"), *pair, WEIGHTS), np.abs(sign) * sign_of(which) * want
    )


def sign_of(which: str) -> float:
    return -1.0 if which == "similarity" else 1.0


def test_the_tutorials_tensors():
    y_true, y_pred = [[1.0, 4, 5], [5, 5, 7]], [[3.0, 2, 5], [3, 2, 7]]
    assert float(frontend.CosineDistance()(y_true, y_pred)) == np.float32(0.0771687014521354702)


@which
def test_the_metric_is_the_weighted_mean_of_all_batches(which, pair):
    make, value = METRICS[which]
    metric = make()
    broken = pair[1].copy()
    broken[2] = np.inf
    metric.update_state(pair[0], broken, WEIGHTS)
    metric.update_state(*pair)
    v = value(*pair).astype(np.float64)
    want = ((v * WEIGHTS).sum() + v.sum()) / (WEIGHTS.sum() + len(v))
    np.testing.assert_allclose(array(metric.result()), want, rtol=1e-6)
    metric.reset_state()
    assert array(metric.result()) == 0


@which
def test_a_mask_excludes_what_it_hides(which, rng):
    loss, value, sign = LOSSES[which]
    y_true, y_pred = rng.standard_normal((2, 4, 3, 5)).astype(np.float32)
    mask = np.array([[True, True, False]] * 3 + [[False] * 3])
    y_pred[~mask] = np.nan
    hidden = ops.convert_to_tensor(y_pred)
    set_keras_mask(hidden, ops.convert_to_tensor(mask))
    want = sign * value(y_true[mask], y_pred[mask]).astype(np.float64)
    np.testing.assert_allclose(array(loss()(y_true, hidden)), want.mean(), rtol=1e-6)
    per_sample = np.array([1.0, 0.0, 2.0, 3.0], np.float32)
    weights = np.repeat([1.0, 0.0, 2.0], 2)
    np.testing.assert_allclose(
        array(loss(reduction="sum")(y_true, hidden, per_sample)), (want * weights).sum(), rtol=1e-6
    )
    metric = METRICS[which][0]()
    metric.update_state(y_true, hidden)
    np.testing.assert_allclose(array(metric.result()), sign * want.mean(), rtol=1e-6)


def fitted(policy: str, x: np.ndarray, y: np.ndarray, **metrics: object) -> tuple[keras.Model, dict]:
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4, 3)), keras.layers.Masking(), keras.layers.Dense(5, dtype=policy)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.05), loss=frontend.CosineDistance(), **metrics)
    weights = np.arange(8.0, dtype=np.float32)
    return model, model.fit(x, y, epochs=20, verbose=0, sample_weight=weights).history


@pytest.fixture
def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((8, 4, 3)).astype(np.float32), rng.standard_normal((8, 4, 5)).astype(
        np.float32
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_fit_learns_and_is_saved(policy, batch, tmp_path):
    metrics = [frontend.metrics.CosineSimilarity()]
    weighted = [frontend.metrics.CosineDistance(name="weighted")]
    model, history = fitted(policy, *batch, metrics=metrics, weighted_metrics=weighted)
    assert history["loss"][-1] < history["loss"][0]
    assert history["weighted"][-1] < history["weighted"][0]
    assert history["cosine_similarity"][-1] > history["cosine_similarity"][0]
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded.loss, frontend.CosineDistance)
    assert loaded.evaluate(*batch, verbose=0) == model.evaluate(*batch, verbose=0)


def test_fit_does_not_see_what_is_masked(batch):
    x, y = batch
    x[:, 3] = 0  # masked
    y[:, 3] = np.nan
    _, history = fitted("float32", x, y)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow only")
def test_autograph_is_kept_out(pair):
    """Check that AutoGraph does not rewrite these functions.

    The rewriting takes seconds, and a warning names the functions that AutoGraph cannot rewrite.
    """
    import tensorflow as tf

    metric, records = frontend.metrics.CosineDistance(), []

    @tf.function
    def step(y_true, y_pred):
        metric.update_state(y_true, y_pred)
        return frontend.CosineDistance()(y_true, y_pred)

    handler = logging.Handler()
    handler.emit = records.append
    tf.get_logger().addHandler(handler)
    try:
        loss = step(*pair)
    finally:
        tf.get_logger().removeHandler(handler)
    assert not [r for r in records if "AutoGraph" in r.getMessage()]
    np.testing.assert_allclose(array(metric.result()), array(loss), rtol=1e-6)


@pytest.mark.parametrize("made", [
    frontend.CosineDistance(axis=1, reduction="sum", name="a", dtype="bfloat16"),
    frontend.CosineSimilarity(axis=0, reduction=None),
    frontend.metrics.CosineDistance(name="b", dtype="float32", axis=1),
    frontend.metrics.CosineSimilarity(axis=0),
], ids=lambda made: f"{type(made).__module__.rsplit('.')[-1]}-{type(made).__name__}")  # fmt: skip
def test_what_is_written_is_read(made):
    config = keras.saving.serialize_keras_object(made)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_bad_arguments_are_named(pair):
    loss = frontend.CosineDistance()
    with pytest.raises(ValueError, match="reduction='average' must be one of 'sum_over_batch_size'"):
        frontend.CosineDistance(reduction="average")
    with pytest.raises(
        ValueError, match=r"y_true of shape \(6, 5\) and y_pred of shape \(6, 4\) must broadcast"
    ):
        loss(pair[0], pair[1][:, :4])
    with pytest.raises(
        ValueError, match=r"y_true of shape \(6,\) and y_pred of shape \(6, 5\) must be of one rank"
    ):
        loss(pair[0][:, 0], pair[1])
    with pytest.raises(
        ValueError, match=r"sample_weight of shape \(3,\) must broadcast to the losses' shape \(6,\)"
    ):
        loss(*pair, WEIGHTS[:3])
    with pytest.raises(ValueError, match="axis=2 is out of range for tensors of rank 2"):
        frontend.CosineDistance(axis=2)(*pair)


def loss_of(*arguments, **options):
    return frontend.CosineDistance()(*arguments, **options)


def metric_of(*arguments, **options):
    metric = frontend.metrics.CosineDistance()
    metric.update_state(*arguments, **options)
    return metric.result()


ONES = np.ones((2, 2), np.float32)
NOT_REAL = {
    "complex array": lambda: ONES + 1j,
    "complex list": lambda: (ONES + 1j).tolist(),
    "complex tensor": lambda: ops.convert_to_tensor(ONES + 1j),
    "text": lambda: [["a", "b"], ["c", "d"]],
    "objects": lambda: np.array([[None, 1], [2, 3]]),
}


@pytest.mark.parametrize("function", [loss_of, metric_of])
@pytest.mark.parametrize("kind", list(NOT_REAL))
def test_what_is_not_real_is_refused(function, kind):
    """Check that only real numbers are accepted: a cast would silently drop the imaginary part."""
    bad = NOT_REAL[kind]()
    with pytest.raises(TypeError, match=r"y_true is of dtype .*must be real"):
        function(bad, ONES)
    with pytest.raises(TypeError, match=r"y_pred is of dtype .*must be real"):
        function(ONES, bad)
    with pytest.raises(TypeError, match=r"sample_weight is of dtype .*must be real"):
        function(ONES, ONES, sample_weight=bad[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("integers", [[[70000, 1]], np.array([[70000, 1]])], ids=["list", "array"])
def test_integers_beside_half_types_lose_no_number(dtype, integers):
    floats = np.array([[1.0, 2.0]])
    expected = exact.cosine_distance(np.array([70000.0, 1.0]), floats[0])
    loss = frontend.CosineDistance(dtype=dtype, reduction="mean_with_sample_weight")
    got = loss(integers, floats, sample_weight=[70000])
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    metric = frontend.metrics.CosineDistance(dtype=dtype)
    metric.update_state(floats, integers)
    for value in (got, metric.result()):
        np.testing.assert_allclose(array(ops.cast(value, "float32")), expected, rtol=2.0**-8)

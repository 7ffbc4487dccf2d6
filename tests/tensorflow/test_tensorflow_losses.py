"""Tests of the losses: values against the oracle, reductions, weights, exclusion, and TensorFlow 1's loss."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_cases import gradient, matrices, same, tensor

import cosgrad.numpy as N
import cosgrad.tensorflow as C
from cosgrad.verify import inputs, oracle

REDUCTIONS = ("sum", "mean", "weighted_mean", "nonzero_mean")
TF1 = tf.compat.v1.losses
LABELS, PREDICTIONS = [[1, 4, 5], [5, 5, 7]], [[3, 2, 5], [3, 2, 7]]


@pytest.fixture(params=REDUCTIONS)
def reduction(request):
    return request.param


@pytest.fixture
def rows(dtype_name, seed):
    return inputs.ordinary(seed, 17, dtype_name)


@pytest.fixture
def pair(rows, tf_dtype):
    return tensor(rows.x, tf_dtype), tensor(rows.y, tf_dtype)


def near(got, true, of):
    """Check a loss.

    Each distance is rounded once, and the result once more. The tolerance is four roundings, which includes
    the mean.
    """
    eps = (
        float(np.finfo(np.float64).eps)
        if got.dtype == tf.float64
        else 2.0 ** -{"float16": 10, "bfloat16": 7, "float32": 23}[got.dtype.name]
    )
    assert abs(float(got) - float(true)) <= 4 * eps * of


def test_the_tutorials_tensors(tf_dtype, call):
    labels, predictions = tensor(LABELS, tf_dtype), tensor(PREDICTIONS, tf_dtype)
    loss = call(lambda *t: C.cosine_distance_loss(*t, axis=1), labels, predictions)
    near(loss, 0.0771687014521354702, 0.1)
    assert (
        call(lambda *t: C.cosine_distance_loss(*t, axis=1, assume_normalized=True), labels, predictions)
        == -54
    )


@pytest.mark.parametrize("weights", [None, [0.5, 0, 1, 2, 0, 0, 4, 1, 0.25]])
def test_value(pair, rows, reduction, weights):
    true = oracle.reduce(rows.distances, weights, reduction)
    loss = C.cosine_distance_loss(*pair, weights=weights, reduction=reduction)
    near(loss, true, max(abs(float(true)), 1))
    assert loss.dtype == pair[0].dtype


@pytest.mark.parametrize("weights", [None, 0.5])
def test_gradient_is_that_of_the_distances(pair, rows, reduction, weights):
    by_hand = {"sum": 1, "weighted_mean": 2 / len(rows)}.get(reduction, 1 / len(rows)) * (weights or 1)
    by_hand = 1 / len(rows) if weights is None and reduction != "sum" else by_hand
    g = tensor(np.full(len(rows), by_hand), pair[0].dtype)
    expected = gradient(C.cosine_distance, pair, g)
    got = gradient(lambda *t: C.cosine_distance_loss(*t, weights=weights, reduction=reduction), pair)
    same(got[0], expected[0].numpy())
    same(got[1], expected[1].numpy())


def test_unreduced(pair):
    same(C.cosine_distance_loss(*pair, reduction="none"), C.cosine_distance(*pair).numpy())
    x, y = (t.numpy() for t in pair)
    w = np.arange(9.0)
    expected = (w * N.cosine_distance(x, y).astype(np.float64)).astype(x.dtype)
    got = C.cosine_distance_loss(*pair, weights=tf.constant(w), reduction="none")
    np.testing.assert_allclose(
        got.numpy().astype(np.float64),
        expected.astype(np.float64),
        rtol=2e-7 if got.dtype != tf.float64 else 0,
    )


def graph(function, *args):
    return tf.function(function, autograph=False)(*args)


@pytest.mark.parametrize(
    ("reduction", "assume_normalized", "call"),
    [
        *((r, n, lambda function, *args: function(*args)) for r in REDUCTIONS for n in (False, True)),
        ("weighted_mean", False, graph),
        ("mean", True, graph),
    ],
)
def test_a_weight_of_zero_excludes_its_row(assume_normalized, reduction, call, rng):
    a, b = rng.standard_normal((2, 4, 5))
    a[1, 2], b[3, 0] = np.nan, -np.inf
    w = tf.constant([1.0, 0.0, 2.0, 0.0], tf.float64)
    options = {"reduction": reduction, "assume_normalized": assume_normalized}

    def first(x, y, w):
        return gradient(lambda x, y, w: C.cosine_distance_loss(x, y, weights=w, **options), (x, y, w))

    def everything(x, y, w):
        second = gradient(lambda *t: tf.add_n([tf.reduce_sum(g) for g in first(*t)[:2]]), (x, y, w))
        return C.cosine_distance_loss(x, y, weights=w, **options), first(x, y, w), second[:2]

    loss, (gx, gy, gw), second = call(everything, tf.constant(a), tf.constant(b), w)
    clean = [tf.constant(t[[0, 2]]) for t in (a, b)]
    expected = C.cosine_distance_loss(*clean, weights=[1.0, 2.0], **options) * (
        0.5 if reduction == "mean" else 1
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-15)
    np.testing.assert_array_equal(gx.numpy()[[1, 3]], 0)
    np.testing.assert_array_equal(gy.numpy()[[1, 3]], 0)
    assert np.isfinite(gx).all()
    assert np.isfinite(gy).all()
    assert np.isfinite(gw).all()
    assert all(np.isfinite(t).all() for t in second)


def test_a_row_that_is_not_excluded_spoils_the_loss(rng):
    a = rng.standard_normal((4, 5))
    a[1, 2] = np.nan
    x, y = tf.constant(a), matrices(rng)[1]
    g = gradient(lambda x: C.cosine_distance_loss(x, y, weights=[0.0, 1.0, 1.0, 1.0]), (x,))[0].numpy()
    assert np.isnan(C.cosine_distance_loss(x, y, weights=[0.0, 1.0, 1.0, 1.0]))
    assert np.isnan(g[1]).all()
    assert np.isfinite(g[2:]).all()


def test_the_derivative_in_a_weight_is_its_distance(rng):
    x, y = matrices(rng)
    w = tf.constant([0.0, 1.0, -2.0, 0.0], tf.float64)
    g = gradient(lambda w: C.cosine_distance_loss(x, y, weights=w, reduction="sum"), (w,))[0]
    same(g, C.cosine_distance(x, y).numpy())


@pytest.mark.parametrize(
    ("weights", "call"),
    [
        (None, lambda function, *args: function(*args)),
        (0.0, lambda function, *args: function(*args)),
        (0.0, graph),
    ],
)
def test_over_nothing_the_loss_is_zero(weights, call):
    x = tf.ones((0, 3) if weights is None else (2, 3))

    def each(x):
        for reduction in REDUCTIONS:
            loss = lambda x, r=reduction: C.cosine_distance_loss(x, x + 1, weights=weights, reduction=r)  # noqa: E731
            yield loss(x), gradient(loss, (x,))[0]

    losses, gradients = zip(*call(lambda x: list(each(x)), x), strict=True)
    np.testing.assert_array_equal(losses, 0)
    np.testing.assert_array_equal(gradients, 0)


@pytest.mark.parametrize("weights", [2, 2.0, [[2.0]], np.full((3, 1), 2), tf.constant(2, tf.int8)], ids=str)
def test_weights_broadcast(weights, rng):
    x, y = matrices(rng, tf.float32, (3, 4, 5))
    D = C.cosine_distance(x, y).numpy().astype(np.float64)
    means = {
        "sum": 2 * D.sum(),
        "mean": 2 * D.mean(),
        "weighted_mean": D.mean(),
        "nonzero_mean": 2 * D.mean(),
    }
    got = [C.cosine_distance_loss(x, y, weights=weights, reduction=r) for r in means]
    np.testing.assert_allclose(got, list(means.values()), rtol=1e-6)


@pytest.mark.parametrize("target", [1, -1])
@pytest.mark.parametrize("margin", [0.0, 0.5, -1.0])
def test_embedding_loss(pair, rows, target, margin):
    losses = C.cosine_embedding_loss(*pair, target, margin=margin, reduction="none")
    true = [oracle.embedding_loss(x, y, target, margin) for x, y in zip(rows.x, rows.y, strict=True)]
    expected = np.array([float(t) for t in true])
    ulp = 2.0 ** -{"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[losses.dtype.name]
    np.testing.assert_allclose(losses.numpy().astype(np.float64), expected, rtol=ulp, atol=2 * ulp)


def test_embedding_losses_gradient(call, rng):
    x, y = matrices(rng)
    target = tf.constant([1, -1, 1, -1])
    got = call(
        lambda *t: gradient(
            lambda x, y: C.cosine_embedding_loss(x, y, target, margin=-1.0, reduction="sum"), t
        ),
        x,
        y,
    )
    expected = gradient(C.cosine_distance, (x, y), tf.constant([1.0, -1, 1, -1], tf.float64))
    same(got[0], expected[0].numpy())
    same(got[1], expected[1].numpy())


def test_other_targets_are_refused_where_they_are_seen():
    x = tf.ones((2, 3))
    with pytest.raises(ValueError, match=r"target holds 0.*, must hold only \+1 and -1"):
        C.cosine_embedding_loss(x, x, [1, 0])
    tf.function(C.cosine_embedding_loss)(x, x, tf.constant([1, 0]))


@pytest.mark.parametrize("reduction", TF1.Reduction.all())
@pytest.mark.parametrize(
    "weights", [1.0, 0, 3, [[0.5], [0.0], [2.0], [1.0]], np.ones((1, 1), np.float32)], ids=str
)
def test_tensorflow_1(reduction, weights, call, rng):
    x, y = (C.normalize(t) for t in matrices(rng, tf.float32))
    ours, theirs = (
        call(lambda *t, f=f: f(*t, axis=1, weights=weights, reduction=reduction), x, y)
        for f in (C.compat.cosine_distance, TF1.cosine_distance)
    )
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=8 * 2.0**-23, atol=8 * 2.0**-23)


def test_tensorflow_1_on_the_tutorials_tensors():
    x, y = (tf.constant(t, tf.float32) for t in (LABELS, PREDICTIONS))
    assert C.compat.cosine_distance(x, y, axis=1) == -54
    unit = C.normalize(x), C.normalize(y)
    np.testing.assert_allclose(C.compat.cosine_distance(*unit, dim=1), 0.0771687014521354702, atol=2.0**-22)
    same(C.compat.cosine_distance(LABELS, PREDICTIONS, 1), np.float32(-54) * np.ones(()).astype("f"))


@pytest.mark.parametrize("function", [C.compat.cosine_distance, TF1.cosine_distance])
def test_tensorflow_1s_collections(function):
    with tf.Graph().as_default():
        loss = function(tf.ones((2, 3)), tf.ones((2, 3)), 1, scope="mine")
        function(tf.ones((2, 3)), tf.ones((2, 3)), 1, loss_collection=None)
        function(tf.ones((2, 3)), tf.ones((2, 3)), 1, loss_collection="others")
        assert tf.compat.v1.get_collection("losses") == [loss]
        assert len(tf.compat.v1.get_collection("others")) == 1
        assert loss.op.name.startswith("mine/")
        with tf.compat.v1.Session() as session:
            assert session.run(loss) == -2


@pytest.mark.parametrize("function", [C.compat.cosine_distance, TF1.cosine_distance])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "axis"),
        ({"axis": 1, "dim": 1}, "axis.*dim|dim.*axis"),
        ({"axis": 1, "reduction": "mean"}, "Invalid Reduction Key mean"),
        ({"axis": 1, "weights": [1.0, 2.0, 3.0]}, "weights can not be broadcast to values"),
        ({"axis": 1, "weights": None}, "Attempt to convert a value .None."),
        ({"axis": 1, "labels": None}, "labels"),
        ({"axis": 1, "labels": [[1.0]]}, r"Shapes \(.*\) and \(.*\) are incompatible"),
    ],
    ids=str,
)
def test_tensorflow_1s_errors(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(**{"labels": tf.ones((2, 3)), "predictions": tf.ones((2, 3)), **arguments})


def test_the_gradient_of_tensorflow_1s(rng):
    x, y = (C.normalize(t) for t in matrices(rng, tf.float32))
    ours, theirs = (
        gradient(lambda *t, f=f: f(*t, axis=1), (x, y))
        for f in (C.compat.cosine_distance, TF1.cosine_distance)
    )
    np.testing.assert_allclose(ours, theirs, rtol=2.0**-22)

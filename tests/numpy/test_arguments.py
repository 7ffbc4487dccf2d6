"""Tests of the arguments that the NumPy frontend accepts and refuses, and of its error messages."""

import ml_dtypes
import numpy as np
import pytest

import cosgrad.numpy as C

PAIR = [C.cosine_similarity, C.cosine_distance, C.cosine_similarity_grad]


@pytest.mark.parametrize("function", PAIR)
def test_anything_that_numpy_makes_an_array_of(function):
    expected = function(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    np.testing.assert_array_equal(function([1, 2], (2.0, 1)), expected)
    np.testing.assert_array_equal(function(np.array([1, 2], np.int8), [True + 1, 1]), expected)
    np.testing.assert_array_equal(
        function(np.array([1.0, 2.0], ">f8"), np.array([2.0, 1.0], ">f8")), expected
    )


def test_unaligned_and_read_only_arrays_are_read_and_not_written(rng):
    x = rng.standard_normal((4, 5))
    record = np.zeros((4, 5), np.dtype([("pad", "i1"), ("x", "f8")], align=False))
    record["x"] = x
    y = rng.standard_normal((4, 5))
    x.flags.writeable = y.flags.writeable = False
    kept = x.copy(), y.copy()
    np.testing.assert_array_equal(C.cosine_similarity(record["x"], y), C.cosine_similarity(x, y))
    C.cosine_similarity_grad(x, y)
    C.cosine_similarity_hvp(x, y, y, x)
    C.normalize(x)
    np.testing.assert_array_equal((x, y), kept)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float16, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.int32, np.bool_, np.float64),
        (np.int8, np.float16, np.float16),
        (ml_dtypes.bfloat16, ml_dtypes.bfloat16, ml_dtypes.bfloat16),
        (ml_dtypes.bfloat16, np.float32, np.float32),
    ],
)
def test_the_result_has_the_promoted_dtype(x, y, expected):
    a, b = np.ones((2, 3), x), np.ones((2, 3), y)
    assert C.cosine_similarity(a, b).dtype == expected
    assert C.cosine_distance_loss(a, b).dtype == expected
    assert all(g.dtype == expected for g in C.cosine_similarity_grad(a, b))
    assert all(h.dtype == expected for h in C.cosine_similarity_hvp(a, b, a, b))


def test_shapes(rng):
    x, y = rng.standard_normal((3, 1, 5)), rng.standard_normal((4, 5))
    assert C.cosine_similarity(x, y).shape == (3, 4)
    assert C.cosine_similarity(x, y, keepdims=True).shape == (3, 4, 1)
    assert C.cosine_distance(x, y, axis=0).shape == (4, 5)
    assert isinstance(C.cosine_similarity(x[0, 0], y[0]), np.float64)
    gx, gy = C.cosine_similarity_grad(x, y)
    assert (gx.shape, gy.shape) == (x.shape, y.shape)
    assert C.cosine_similarity(2.0, 3.0) == 1


def test_broadcast_gradients_are_sums_over_the_rows(rng):
    x, y, g = rng.standard_normal((3, 1, 5)), rng.standard_normal((4, 5)), rng.standard_normal((3, 4))
    full = C.cosine_similarity_grad(np.broadcast_to(x, (3, 4, 5)), np.broadcast_to(y, (3, 4, 5)), g)
    gx, gy = C.cosine_similarity_grad(x, y, g)
    np.testing.assert_allclose(gx, full[0].sum(1, keepdims=True), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(gy, full[1].sum(0), rtol=1e-13, atol=1e-14)


def test_an_operand_broadcast_along_its_own_axis(rng):
    x, y = rng.standard_normal((3, 1)), rng.standard_normal((3, 5))
    gx, gy = C.cosine_similarity_grad(x, y)
    full = C.cosine_similarity_grad(np.repeat(x, 5, 1), y)
    np.testing.assert_allclose(gx, full[0].sum(1, keepdims=True), atol=1e-14)
    np.testing.assert_array_equal(gy, full[1])
    hx, _ = C.cosine_similarity_hvp(x, y, x, y)
    fx, _ = C.cosine_similarity_hvp(np.repeat(x, 5, 1), y, np.repeat(x, 5, 1), y)
    np.testing.assert_allclose(hx, fx.sum(1, keepdims=True), atol=1e-12)


def test_the_hessian_product_is_the_difference_of_gradients(rng):
    x, y, u, v = rng.standard_normal((4, 3, 7))
    g, h = rng.standard_normal(3), 1e-5
    above, below = (C.cosine_similarity_grad(x + s * h * u, y + s * h * v, g) for s in (1, -1))
    for product, a, b in zip(C.cosine_similarity_hvp(x, y, u, v, g), above, below, strict=True):
        np.testing.assert_allclose(product, (a - b) / (2 * h), rtol=1e-8, atol=1e-8)


ONES = np.ones((2, 3))
REFUSED = [
    (
        lambda: C.cosine_similarity(ONES, ONES, axis=2),
        ValueError,
        "axis=2 is out of range for arrays of rank 2",
    ),
    (
        lambda: C.cosine_similarity(ONES, ONES, axis=2),
        IndexError,
        "axis=2 is out of range for arrays of rank 2",
    ),
    (lambda: C.cosine_similarity(ONES, ONES, axis=1.5), TypeError, "axis=1.5 must be an integer"),
    (lambda: C.cosine_similarity(ONES, ONES, eps=-1), ValueError, "eps=-1 must be at least 0"),
    (lambda: C.normalize(ONES, eps=float("nan")), ValueError, "eps=nan must be at least 0"),
    (lambda: C.normalize(ONES, eps="much"), TypeError, "eps='much' must be a number"),
    (
        lambda: C.cosine_similarity(ONES, np.ones((2, 4))),
        ValueError,
        "x of shape (2, 3) and y of shape (2, 4) must broadcast to one shape",
    ),
    (lambda: C.cosine_similarity(ONES + 1j, ONES), TypeError, "x is of dtype complex128, must be real"),
    (lambda: C.cosine_similarity(ONES, ["a"] * 3), TypeError, "y is of dtype <U1, must be real"),
    (lambda: C.normalize(ONES.astype(np.longdouble)), TypeError, "x is of dtype float128, must be real"),
    (lambda: C.cosine_similarity(np.ma.masked_array([1.0], [True]), [1.0]), TypeError, "x is a masked array"),
    (
        lambda: C.cosine_similarity_grad(ONES, ONES, np.ones(3)),
        ValueError,
        "grad_output of shape (3,) must broadcast to the similarity's shape (2,) without enlarging it",
    ),
    (
        lambda: C.cosine_similarity_jvp(ONES, ONES, np.ones(4), ONES),
        ValueError,
        "dx of shape (4,) must broadcast to the shape of x, (2, 3) without enlarging it",
    ),
    (
        lambda: C.cosine_distance_loss(ONES, ONES, reduction="avg"),
        ValueError,
        "reduction='avg' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'",
    ),
    (
        lambda: C.cosine_distance_loss(ONES, ONES, weights=np.ones((2, 1))),
        ValueError,
        "weights of shape (2, 1) must broadcast to the losses' shape (2,) without enlarging it",
    ),
    (
        lambda: C.cosine_embedding_loss(ONES, ONES, [1, 0]),
        ValueError,
        "target holds 0, must hold only +1 and -1",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_bad_input_is_refused_in_the_callers_words(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)

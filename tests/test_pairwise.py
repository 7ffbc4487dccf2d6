"""Tests of the matrix functions of every frontend against the definition."""

import re

import ml_dtypes
import numpy as np
import pytest
from frontends import FRAMEWORKS, Numpy

import cosgrad

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
SHAPES = [
    ((5, 17), (3, 17)),
    ((2, 3, 8), (2, 4, 8)),
    ((3, 8), (2, 4, 8)),
    ((1, 1), (1, 1)),
    ((0, 4), (3, 4)),
    ((3, 0), (2, 0)),
]


@pytest.fixture(scope="module", params=list(FRAMEWORKS))
def frontend(request: pytest.FixtureRequest) -> Numpy:
    return FRAMEWORKS[request.param]()


def dense(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the similarity matrix by its definition, in long double."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    norms = [np.sqrt((a * a).sum(-1)) for a in (x, y)]
    with np.errstate(invalid="ignore", divide="ignore"):
        S = x @ y.swapaxes(-1, -2) / (norms[0][..., :, None] * norms[1][..., None, :])
    return np.where((norms[0][..., :, None] == 0) | (norms[1][..., None, :] == 0), 0, S)


def call(frontend: Numpy, name: str, *arrays: np.ndarray) -> np.ndarray:
    with frontend.context():
        return frontend.numpy(getattr(frontend.frontend, name)(*map(frontend.tensor, arrays)))


def tolerance(dtype: type, n: int) -> float:
    """Return a bound of the error: n + 4 half ulps of 1.

    Two unit vectors and the result are rounded once each, and there are n products and sums.
    """
    return (n + 4) / 2 * float(ml_dtypes.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(("shape_x", "shape_y"), SHAPES)
def test_values(shape_x, shape_y, dtype, frontend, rng):
    x, y = (
        rng.standard_normal(shape_x).astype(DTYPES[dtype]),
        rng.standard_normal(shape_y).astype(DTYPES[dtype]),
    )
    S, D = (
        call(frontend, "pairwise_cosine_similarity", x, y),
        call(frontend, "pairwise_cosine_distance", x, y),
    )
    want = dense(x, y)
    assert S.dtype == D.dtype == x.dtype
    assert S.shape == D.shape == want.shape
    within = tolerance(DTYPES[dtype], shape_x[-1])
    np.testing.assert_allclose(S.astype(np.float64), want.astype(np.float64), rtol=0, atol=within)
    np.testing.assert_allclose(D.astype(np.float64), (1 - want).astype(np.float64), rtol=0, atol=2 * within)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("scale", [1.0, 2.0**-12, 2.0**12])
def test_the_range_and_the_diagonal_are_exact(scale, dtype, frontend, rng):
    x = (rng.standard_normal((50, 3)) * scale).astype(DTYPES[dtype])
    x = np.concatenate([x, x, -x])  # parallel rows: rounding alone could leave the range
    S, D = call(frontend, "pairwise_cosine_similarity", x), call(frontend, "pairwise_cosine_distance", x)
    assert (np.abs(S) <= 1).all()
    assert ((D >= 0) & (D <= 2)).all()
    np.testing.assert_array_equal(np.diagonal(S), 1)
    np.testing.assert_array_equal(np.diagonal(D), 0)


@pytest.mark.parametrize("name", ["pairwise_cosine_similarity", "pairwise_cosine_distance"])
def test_a_matrix_given_twice_is_a_matrix_with_itself(name, frontend, dtype, rng):
    x = rng.standard_normal((40, 3)).astype(dtype)
    x[3] = 0
    want = call(frontend, name, x)
    with frontend.context():
        f, t = getattr(frontend.frontend, name), frontend.tensor(x)
        np.testing.assert_array_equal(frontend.numpy(f(t, t)), want)
        np.testing.assert_array_equal(frontend.numpy(getattr(cosgrad, name)(t, t)), want)
        if frontend.name == "jax":
            np.testing.assert_array_equal(frontend.numpy(frontend.jax.jit(lambda a: f(a, a))(t)), want)
        if frontend.name == "tensorflow":
            np.testing.assert_array_equal(frontend.numpy(frontend.tf.function(lambda a: f(a, a))(t)), want)
            np.testing.assert_array_equal(frontend.numpy(f(v := frontend.tf.Variable(t), v)), want)
        if frontend.name in ("numpy", "torch"):
            np.testing.assert_array_equal(frontend.numpy(f(t, t[:])), want)


@pytest.mark.parametrize("frontend", ["numpy", "torch"], indirect=True)
def test_the_same_memory_in_another_order_is_another_matrix(frontend, rng):
    t = frontend.tensor(rng.uniform(0.9, 1.0, (30, 30)).astype(np.float32))
    S = frontend.numpy(frontend.frontend.pairwise_cosine_similarity(t, t.T))
    assert (np.diagonal(S) < 1).all()


def test_sparse_matrices_are_refused_with_the_cure():
    sparse = pytest.importorskip("scipy.sparse")
    for x in (sparse.eye_array(3, format="csr"), sparse.coo_matrix(np.eye(3))):
        with pytest.raises(TypeError, match=r"y is a sparse \w+, must be dense: pass y.toarray\(\)"):
            cosgrad.pairwise_cosine_similarity(np.eye(3), x)


def test_a_constant_with_the_memory_of_x_has_no_gradient(rng):
    torch = pytest.importorskip("torch")
    x = torch.tensor(rng.standard_normal((6, 3)), requires_grad=True)
    f = cosgrad.torch.pairwise_cosine_similarity
    got, want = (torch.autograd.grad(f(x, y)[0, 1:].sum(), x)[0] for y in (x.detach(), x.detach().clone()))
    assert torch.equal(got, want)
    assert (f(x, x.detach()).diagonal() == 1).all()


def test_zero_rows_and_rows_that_are_not_finite(frontend):
    x = np.array([[1, 2], [0, 0], [np.nan, 1], [np.inf, 1]], np.float32)
    S, D = call(frontend, "pairwise_cosine_similarity", x), call(frontend, "pairwise_cosine_distance", x)
    np.testing.assert_array_equal(S[:2, :2], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(D[:2, :2], [[0, 1], [1, 1]])
    assert np.isnan(S[2:]).all()
    assert np.isnan(S[:, 2:]).all()


def gradients(
    frontend: Numpy, name: str, x: np.ndarray, y: np.ndarray | None, g: np.ndarray
) -> list[np.ndarray]:
    """Return the products of g with the Jacobians, computed by the framework's reverse mode."""
    f = getattr(frontend.frontend, name)
    with frontend.context():
        inputs = [frontend.tensor(a) for a in (x, y) if a is not None]
        if frontend.name == "jax":
            out = frontend.jax.vjp(f, *inputs)[1](frontend.tensor(g))
        elif frontend.name == "torch":
            inputs = [t.requires_grad_() for t in inputs]
            out = frontend.torch.autograd.grad(f(*inputs), inputs, frontend.tensor(g))
        else:
            with frontend.tf.GradientTape() as tape:
                tape.watch(inputs)
                value = f(*inputs)
            out = tape.gradient(value, inputs, frontend.tensor(g))
        return [frontend.numpy(t) for t in out]


@pytest.mark.parametrize(
    ("name", "sign"), [("pairwise_cosine_similarity", 1), ("pairwise_cosine_distance", -1)]
)
@pytest.mark.parametrize("own", [False, True])
def test_gradients(own, name, sign, frontend, rng):
    if frontend.name == "numpy":
        pytest.skip("NumPy has no reverse mode")
    x, y = rng.standard_normal((6, 9)), rng.standard_normal((4, 9))
    x[2] = 0
    g = rng.standard_normal((6, 6 if own else 4))
    got = gradients(frontend, name, x, None if own else y, g)
    gx, gy = cosgrad.numpy.cosine_similarity_grad(x[:, None], (x if own else y)[None], sign * g)
    want = [gx[:, 0] + gy[0]] if own else [gx[:, 0], gy[0]]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=20 * np.finfo(float).eps * np.abs(g).sum())
    np.testing.assert_array_equal(got[0][2], 0)


@pytest.mark.parametrize(("shapes", "message"), [
    (((3,), (2, 3)), "x of shape (3,) must have at least two axes, (..., N, D)"),
    (((2, 3), (3,)), "y of shape (3,) must have at least two axes, (..., N, D)"),
    (((2, 3), (2, 4)), "x of shape (2, 3) and y of shape (2, 4) must have rows of one length"),
    (((2, 2, 3), (3, 2, 3)), "x of shape (2, 2, 3) and y of shape (3, 2, 3) must have batches that"),
])  # fmt: skip
def test_the_same_errors_in_every_frontend(shapes, message, frontend):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(frontend, "pairwise_cosine_similarity", *(np.ones(shape, np.float32) for shape in shapes))


def test_the_top_level_goes_by_type(frontend, rng):
    x = rng.standard_normal((3, 4)).astype(np.float32)
    for name in ("pairwise_cosine_similarity", "pairwise_cosine_distance"):
        own = getattr(cosgrad, name)(frontend.tensor(x))
        np.testing.assert_array_equal(frontend.numpy(own), call(frontend, name, x))

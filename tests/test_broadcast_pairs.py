"""Tests of x[:, None] against y[None], which the core computes in tiles.

Values have the bits of each pair of rows computed alone. Gradients are the sums of the pairs' gradients.
"""

import numpy as np
import pytest
from frontends import FRAMEWORKS

import cosgrad.numpy as C
from cosgrad.verify import bounds
from cosgrad.verify.oracle import Pair, errors

SHAPES = [(1, 3), (4, 2), (4, 5), (7, 16), (33, 5), (33, 16)]
LENGTHS = [0, 1, 7, 8, 63, 64, 65, 768, 4097]
# The last size takes several blocks.
SIZES = [(*shape, n) for shape in SHAPES for n in LENGTHS] + [(130, 200, 65)]
FUNCTIONS = {"similarity": C.cosine_similarity, "distance": C.cosine_distance}


def same(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    bits = f"u{want.dtype.itemsize}"
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    equal = (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
    assert equal.all(), f"{(~equal).sum()} of {equal.size}: {got[~equal][:5]} for {want[~equal][:5]}"


def materialised(function, x, y, **options):
    """Return the results of the same pairs of rows, without broadcasting."""
    N, M = len(x), len(y)
    return function(np.repeat(x, M, axis=0), np.tile(y, (N, 1)), **options).reshape(N, M)


def plain(rng, N, M, n):
    return rng.standard_normal((N, n)), rng.standard_normal((M, n))


def parallel(rng, N, M, n):
    """Return rows at angles from 1 to 1e-7, in the same and in opposite directions."""
    x, y = np.repeat(rng.standard_normal((1, n)), N, 0), rng.standard_normal((M, n))
    return x * rng.standard_normal((N, 1)), x[:1] + 10.0 ** -np.linspace(0, 7, M)[:, None] * y


def wild(rng, N, M, n):
    """Return rows with zeros, infinities and NaN, and rows of other sizes."""
    x, y = plain(rng, N, M, n)
    x[0], y[-1] = 0, 0
    x[N // 2] *= 1e-5
    y[0] *= 1e4
    x[-1, n // 2 :], y[M // 2, :1] = np.nan, -np.inf
    return x, y


def disjoint(rng, N, M, n):
    """Return rows of whole numbers, some of whose products have a sum of exactly zero."""
    x, y = np.round(3 * rng.standard_normal((N + M, n))).reshape(-1, n)[:N], np.eye(M, n)
    return x * (rng.random((N, n)) < 0.1), y


def cancelling(rng, N, M, n):
    """Return rows of small similarity, whose last bits depend on the order of the sum."""
    u, v = (abs(a) for a in plain(rng, N, M, 4 * n))
    return np.hstack([u, u]), np.hstack([v, -v * (1 + 2.0**-22)])


DATA = {f.__name__: f for f in (plain, parallel, wild, disjoint, cancelling)}


@pytest.mark.parametrize("eps", [0.0, 2.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_bits_of_rows_on_their_own(size, eps, dtype, rng):
    x, y = (a.astype(dtype) for a in plain(rng, *size))
    S, D = (f(x[:, None], y[None], eps=eps) for f in FUNCTIONS.values())
    same(S, materialised(C.cosine_similarity, x, y, eps=eps))
    same(D, materialised(C.cosine_distance, x, y, eps=eps))


@pytest.mark.parametrize("eps", [0.0, 1e-3, 1.0, 1e300, np.inf])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bits_of_hard_rows_on_their_own(name, data, eps, dtype, rng):
    with np.errstate(over="ignore"):
        x, y = (a.astype(dtype) for a in DATA[data](rng, 9, 50, 37))
    got = FUNCTIONS[name](x[:, None], y[None], eps=eps)
    same(got, materialised(FUNCTIONS[name], x, y, eps=eps))


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30, 1e37])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bits_of_tiny_and_huge_rows(name, scale, dtype, rng):
    x, y = parallel(rng, 8, 40, 37)
    # The scales of float64 reach 1e-250 and 1e250.
    power = np.log(1e250) / np.log(1e38) if dtype == np.float64 else 1
    with np.errstate(over="ignore", under="ignore"):
        x, y = (x * scale**power).astype(dtype), y.astype(dtype)
    same(FUNCTIONS[name](x[:, None], y[None]), materialised(FUNCTIONS[name], x, y))


# The shapes of x and y, and the axis.
LAYOUTS = {
    "rows": ((9, 1, 20), (1, 30, 20), -1),
    "columns first": ((1, 9, 20), (30, 1, 20), -1),
    "axis first": ((20, 9, 1), (20, 1, 30), 0),
    "axis between": ((9, 20, 1), (1, 20, 30), 1),
    "batch": ((3, 9, 1, 20), (3, 1, 6, 20), -1),
    "batch behind": ((9, 1, 3, 20), (1, 6, 3, 20), -1),
    "batch around": ((2, 9, 1, 3, 20), (2, 1, 6, 3, 20), -1),
    "interleaved": ((5, 1, 3, 1, 20), (1, 4, 1, 3, 20), -1),
    "missing axes": ((5, 1, 20), (6, 20), -1),
    "one number for a row": ((9, 1, 1), (1, 30, 20), -1),
}


def broadcast(x, y, axis):
    """Return copies of both operands in the full shape, with the axis last."""
    x, y = np.broadcast_arrays(x, y)
    return (np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in (x, y))


def orders(a):
    """Return the same numbers in several orders in memory."""
    turned = np.ascontiguousarray(a.T).T
    gaps = np.zeros([2 * k for k in a.shape], a.dtype)[tuple(slice(None, None, -2) for _ in a.shape)]
    gaps[...] = a
    return {"C": a, "Fortran": turned, "gaps": gaps}


@pytest.mark.parametrize("order", ["C", "Fortran", "gaps"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bits_in_every_layout(layout, order, dtype, rng):
    *shapes, axis = LAYOUTS[layout]
    x, y = (rng.standard_normal(s).astype(dtype) for s in shapes)
    got = C.cosine_distance(orders(x)[order], orders(y)[order], axis=axis)
    same(got, C.cosine_distance(*broadcast(x, y, axis)))


@pytest.mark.parametrize("order", ["Fortran", "gaps"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_do_not_depend_on_the_order_in_memory(layout, order, dtype, rng):
    *shapes, axis = LAYOUTS[layout]
    x, y = (rng.standard_normal(s).astype(dtype) for s in shapes)
    g = rng.standard_normal(C.cosine_similarity(x, y, axis=axis).shape).astype(dtype)
    got = C.cosine_similarity_grad(*(orders(a)[order] for a in (x, y, g)), axis=axis)
    want = C.cosine_similarity_grad(x, y, g, axis=axis)
    same(got[0], want[0])
    same(got[1], want[1])


def true_gradients(x, y, g, eps):
    """Return the sums of the oracle's gradients over the pairs, and the sizes of their terms."""
    pairs = [[Pair(a, b, eps) for b in y.astype(np.float64)] for a in x.astype(np.float64)]
    g = g.astype(np.float64)
    parts = [[pair.gradient(float(g[i, j])) for j, pair in enumerate(row)] for i, row in enumerate(pairs)]
    sizes = [
        [pair.gradient_scale(float(g[i, j])) for j, pair in enumerate(row)] for i, row in enumerate(pairs)
    ]
    return [
        [
            [sum(column) for of in lines for column in zip(*of, strict=True)]
            for lines in (
                [[cell[0] for cell in row] for row in table],
                [[row[j][1] for row in table] for j in range(len(y))],
            )
        ]
        for table in (parts, sizes)
    ]


def hold(got, true, size, dtype_name, n):
    measured = errors(got.astype(np.float64).ravel(), true, dtype_name)
    allowed = bounds.gradient(dtype_name, n).allowed(measured.in_ulp(size))
    excess = measured.ulp - allowed
    worst = int(np.argmax(excess))
    assert excess[worst] <= 0, f"element {worst}: {measured.ulp[worst]} ulp, not {allowed[worst]}"


# One side has two steps of 64 and the beginning of a third. The second length is a panel of 24 elements and
# one more.
@pytest.mark.parametrize("shape", [(5, 130, 9), (129, 4, 25)], ids=str)
@pytest.mark.parametrize("eps", [0.0, 3.0])
@pytest.mark.parametrize("angle", [1.0, 1e-3, 1e-7])
def test_gradients_are_the_sums_of_the_pairs(angle, eps, shape, dtype, dtype_name, rng):
    N, M, n = shape
    x = rng.standard_normal(n) + angle * rng.standard_normal((N, n))
    y = (x[:1] + angle * rng.standard_normal((M, n))) * rng.uniform(0.5, 2, (M, 1))
    x, y, g = (a.astype(dtype) for a in (x, y, rng.standard_normal((N, M))))
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None], g, eps=eps)
    true, size = true_gradients(x, y, g, eps)
    hold(gx, true[0], size[0], dtype_name, n)
    hold(gy, true[1], size[1], dtype_name, n)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no numbers wider than float64")
@pytest.mark.parametrize("first", [1.0, 2.0**29], ids=["even", "one large"])
@pytest.mark.parametrize("shape", [(300, 70, 50), (70, 300, 50), (260, 1100, 30), (4, 5, 4096)], ids=str)
def test_gradients_of_many_rows(shape, first, rng):
    N, M, n = shape
    x, y = (rng.uniform(1, 2, s).astype(np.float32) for s in ((N, n), (M, n)))
    # If the first elements are large, every other product is below the last bit of <x, y>.
    x[:, 0], y[:, 0] = first, first
    g = rng.standard_normal((N, M)).astype(np.float32)
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None], g)
    x, y, g = (a.astype(np.longdouble) for a in (x, y, g))
    p, q, d = (x * x).sum(1, keepdims=True), (y * y).sum(1), x @ y.T
    k = g / np.sqrt(p * q)
    for got, true, size in (
        (gx[:, 0], k @ y - (k * d).sum(1, keepdims=True) / p * x, abs(k) @ abs(y)),
        (gy[0], k.T @ x - ((k * d).sum(0) / q)[:, None] * y, abs(k).T @ abs(x)),
    ):
        # This is the bound of gradients in docs/numerics.md, with only the larger half of the size of the
        # terms.
        assert (abs(got - true) <= 0.51 * np.spacing(abs(true.astype(np.float32))) + 2.0**-50 * size).all()


def opposed(rng, N, M, n, dtype):
    """Return every pair twice, with opposite cotangents, so that the gradients consist of rounding errors."""
    x, y, g = (rng.standard_normal(s) for s in ((N // 2, n), (M // 2, n), (N // 2, M // 2)))
    return (a.astype(dtype) for a in (np.tile(x, (2, 1)), np.tile(y, (2, 1)), np.block([[g, -g], [-g, g]])))


@pytest.mark.parametrize("shape", [(6, 130, 9), (300, 70, 33), (70, 1100, 5)], ids=str)
def test_gradients_do_not_depend_on_the_names(shape, dtype, rng):
    x, y, g = opposed(rng, *shape, dtype)
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None], g)
    hy, hx = C.cosine_similarity_grad(y[:, None], x[None], g.T)
    same(hx[0], gx[:, 0])
    same(hy[:, 0], gy[0])


@pytest.mark.parametrize("wanted", [0, 1])
@pytest.mark.parametrize("shape", [(300, 70), (70, 300)], ids=str)
def test_one_gradient_is_the_same_without_the_other(shape, wanted, rng):
    torch = pytest.importorskip("torch")
    import cosgrad.torch as T

    *arrays, g = opposed(rng, *shape, 40, np.float32)
    both = C.cosine_similarity_grad(arrays[0][:, None], arrays[1][None], g)
    x, y = map(torch.from_numpy, arrays)
    one = (x, y)[wanted].requires_grad_()
    T.cosine_similarity(x[:, None], y[None], dim=-1).backward(torch.from_numpy(g))
    assert both[wanted].any()
    same(one.grad.numpy(), both[wanted].squeeze(1 - wanted))


def bad_rows(rng, dtype):
    x, y = wild(rng, 9, 70, 30)
    g = rng.standard_normal((9, 70))
    g[3, 4], g[4, 66] = np.nan, np.inf
    g[:, 7], g[5] = 0, 0
    with np.errstate(over="ignore"):
        return x.astype(dtype), y.astype(dtype), g.astype(dtype)


@pytest.mark.parametrize("eps", [0.0, 1e-3, 1.0])
def test_nan_reaches_every_gradient_that_it_meets_and_no_other(eps, dtype, rng):
    x, y, g = bad_rows(rng, dtype)
    bad_x, bad_y = (~np.isfinite(a.astype(np.float64)).all(1) for a in (x, y))
    # Otherwise every row of x would meet a NaN.
    y[bad_y] = 1
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None], g, eps=eps)
    bad = bad_x[:, None] | ~np.isfinite(g.astype(np.float64))
    assert (np.isnan(gx[:, 0]) == bad.any(1)[:, None]).all()
    assert (np.isnan(gy[0]) == bad.any(0)[:, None]).all()
    # A cotangent of zero does not hide a bad row.
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None], np.zeros_like(g), eps=eps)
    assert (np.isnan(gx[:, 0]) == bad_x[:, None]).all()
    assert np.isnan(gy).all()


def test_a_weight_of_zero_hides_a_bad_row(rng):
    torch = pytest.importorskip("torch")
    import cosgrad.torch as T

    x, y, g = bad_rows(rng, np.dtype(np.float32))
    bad_x, bad_y = (~np.isfinite(a).all(1) for a in (x, y))
    weights = np.abs(np.nan_to_num(g, posinf=1))
    weights[bad_x], weights[:, bad_y] = 0, 0

    def gradients(x, y):
        x, y = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, y))
        w = torch.from_numpy(weights)
        T.cosine_distance_loss(x[:, None], y[None], dim=-1, weights=w, reduction="sum").backward()
        return x.grad.numpy(), y.grad.numpy()

    gx, gy = gradients(x, y)
    assert (gx[bad_x] == 0).all()
    assert (gy[bad_y] == 0).all()
    x[bad_x], y[bad_y] = 1, 1
    hx, hy = gradients(x, y)
    same(gx, hx)
    same(gy, hy)


def test_gradients_of_zero_rows_are_zero_without_eps(dtype, rng):
    x, y = (a.astype(dtype) for a in plain(rng, 6, 70, 30))
    x[2], y[5] = 0, 0
    gx, gy = C.cosine_similarity_grad(x[:, None], y[None])
    assert (gx[2] == 0).all()
    assert (gy[:, 5] == 0).all()
    rest = C.cosine_similarity_grad(np.delete(x, 2, 0)[:, None], y[None])[1]
    same(np.delete(gy, 5, 1), np.delete(rest, 5, 1))


@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if name != "numpy"])
def test_the_same_bits_in_every_frontend(name, dtype, rng):
    frontend, numpy = FRAMEWORKS[name](), FRAMEWORKS["numpy"]()
    x, y, g = (rng.standard_normal(s).astype(dtype) for s in ((2, 9, 1, 33), (1, 1, 70, 33), (2, 9, 70)))
    same(*(f.value("cosine_distance", x, y, -1, 0.0, False) for f in (frontend, numpy)))
    got, want = (f.gradients("cosine_distance", x, y, g, -1, 0.0) for f in (frontend, numpy))
    same(got[0], want[0])
    same(got[1], want[1])

"""Tests of the contrastive losses against their definition: every option, in float32 and wider."""

import functools
import re

import contrastive_oracle as oracle
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import cosgrad.jax as C
from cosgrad.jax import _contrastive, _tiles

TEMPERATURES = [1e-3, 0.07, 1.0, 1e3]
KINDS = ["random", "matched", "zero rows", "duplicates"]
SIZES = [(1, 1), (2, 2), (3, 3), (17, 17), (17, 30)]
PROGRAMS = (_contrastive._contrastive, _contrastive._nt_xent, _contrastive._sigmoid)


@pytest.fixture
def wide(request):
    with jax.enable_x64(request.param):
        yield request.param


def in_both(name, cases, narrow):
    """Parametrize a test with every case under x64, and with some cases without x64."""
    tried = [(case, True) for case in cases] + [(case, False) for case in narrow]
    ids = [f"{case}-{'x64' if wide else 'x32'}" for case, wide in tried]
    return pytest.mark.parametrize((name, "wide"), tried, ids=ids, indirect=["wide"])


@pytest.fixture(scope="module", autouse=True)
def small_tiles():
    """Use small tiles: a few rows already fill several tiles, and the last one is not full."""
    largest = _tiles.LARGEST
    _tiles.LARGEST = 16
    [program.clear_cache() for program in PROGRAMS]
    yield
    _tiles.LARGEST = largest
    [program.clear_cache() for program in PROGRAMS]


def vectors(kind, n, m, rng, length=16):
    x = rng.standard_normal((n, length)).astype(np.float32)
    y = rng.standard_normal((m, length)).astype(np.float32)
    match kind:
        case "matched":
            y[:n] = x + np.float32(0.01) * y[:n]
        case "zero rows":
            x[0] = 0
            y[-1] = 0
        case "duplicates":
            x[n // 2 :] = x[: n - n // 2]
            y[-1] = y[0]
    return x, y


@functools.cache
def _compiled(name, names, symmetric):
    """Return the compiled loss with all gradients, as a function of arrays, scalars and other arguments.

    The scalars have these names.
    """
    function = getattr(C, name)
    options = {} if symmetric is None else {"symmetric": symmetric}

    def loss(arrays, scalars, given):
        return function(*arrays, **given, **dict(zip(names, scalars, strict=True)), **options)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))


def run(name, arrays, scalars, symmetric=None, **given):
    """Return a list of the loss, the gradients in the arrays, and the gradients in the scalars."""
    compiled = _compiled(name, tuple(scalars), symmetric)
    loss, gradients = compiled(arrays, tuple(scalars.values()), given)
    return [np.asarray(a) for a in (loss, *gradients[0], *gradients[1])]


def within(got, want, temperature, wide, terms=1.0):
    """Check the loss and its gradients against their tolerances.

    The tolerance of the loss is 1e-6 and the rounding of a logit. The tolerance of a gradient is 1e-5 of its
    norm, and more at low temperatures.

    The gradient in a scalar is a sum of terms of both signs, whose similarities are rounded to float32.
    Without float64 the sum is also in float32. Then a sum that cancels has the rounding errors of its terms.
    A sum that is exactly zero has these errors in float64, too.
    """
    arrays = [i for i, a in enumerate(want) if np.ndim(a)]
    assert abs(got[0] - want[0]) <= 1e-6 * max(want[0], 1) + 2**-22 / temperature
    for i, (a, b) in enumerate(zip(got[1:], want[1:], strict=True), 1):
        norm = np.linalg.norm(b)
        bound = 1e-5 * max(1, 0.07 / temperature) * norm + 1e-30
        if i not in arrays and (norm < 1e-100 or not wide):
            bound += 2.0**-22 * terms
        assert np.linalg.norm(a.astype(np.float64) - b) <= bound


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", KINDS)
@in_both("size", SIZES, [(2, 2), (17, 30)])
def test_info_nce(size, kind, temperature, wide, rng):
    n, m = size
    x, y = vectors(kind, n, m, rng)
    got = run("contrastive_loss", (x, y), {"temperature": temperature}, symmetric=n == m)
    want = oracle.contrastive(x, y, temperature=temperature, symmetric=n == m)
    within(got, want, temperature, wide, temperature**-2 * max(1, 1 / temperature))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@in_both("n", [1000], [1000])
def test_many_rows(n, temperature, wide, rng, monkeypatch):
    monkeypatch.setattr(_tiles, "LARGEST", 300)
    x, y = vectors("matched", n, n, rng)
    x[500:] = x[:500]
    got = run("contrastive_loss", (x, y), {"temperature": temperature}, symmetric=True)
    within(got, oracle.contrastive(x, y, temperature=temperature), temperature, wide, temperature**-2)


PARTS = {
    "labels": (17, 30, True, False, True),
    "labels, one way": (30, 17, True, False, False),
    "labels and ignored": (17, 30, True, True, True),
    "labels and ignored, one way": (17, 30, True, True, False),
    "ignored": (17, 17, False, True, True),
    "ignored, one way": (17, 30, False, True, False),
    "one": (1, 1, True, True, True),
}


@pytest.mark.parametrize("temperature", TEMPERATURES)
@in_both("name", PARTS, ["labels and ignored", "ignored, one way"])
def test_labels_and_ignored_pairs(name, temperature, wide, rng):
    n, m, labelled, ignoring, symmetric = PARTS[name]
    x, y = vectors("random", n, m, rng)
    given = {"labels_x": rng.integers(0, 5, n), "labels_y": rng.integers(0, 6, m)} if labelled else {}
    if ignoring:
        given["ignore"] = rng.random((n, m)) < 0.3
        given["ignore"][n // 2] = True
        given["ignore"][:, m // 3] = True
        x[n // 2], y[m // 3] = np.nan, np.inf
    got = run("contrastive_loss", (x, y), {"temperature": temperature}, symmetric=symmetric, **given)
    want = oracle.contrastive(x, y, temperature=temperature, symmetric=symmetric, **given)
    within(got, want, temperature, wide, temperature**-2)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@in_both("n", [2, 4, 34], [34])
def test_nt_xent(n, kind, labelled, temperature, wide, rng):
    z = np.concatenate(vectors(kind, n // 2, n // 2, rng))
    given = {"labels": rng.integers(0, max(n // 3, 1), n)} if labelled else {}
    got = run("nt_xent_loss", (z,), {"temperature": temperature}, **given)
    want = oracle.nt_xent(z, temperature=temperature, **given)
    within(got, want, temperature, wide, temperature**-2 * max(1, 1 / temperature))


@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (1000.0, -500.0), (1e-3, 0.5), (-3.0, 2.0)])
@pytest.mark.parametrize("kind", KINDS)
@in_both("size", [(1, 1), (3, 3), (17, 30)], [(17, 30)])
def test_sigmoid(size, kind, scale, bias, wide, rng):
    n, m = size
    x, y = vectors(kind, n, m, rng)
    got = run("sigmoid_contrastive_loss", (x, y), {"scale": scale, "bias": bias})
    want = oracle.sigmoid_contrastive(x, y, scale=scale, bias=bias)
    within(got, want, 1 / max(abs(scale), abs(bias), 1), wide, m)


LABELS = np.array([0, 1, 0, 2, 1, 1, 3, 0])
CALLS = {
    "contrastive": lambda x, y: C.contrastive_loss(x, y),
    "labels": lambda x, y: C.contrastive_loss(x, y, labels_x=LABELS, labels_y=LABELS),
    "supervised": lambda x, y: C.nt_xent_loss(x, LABELS),
    "sigmoid": lambda x, y: C.sigmoid_contrastive_loss(x, y),
}


@pytest.mark.parametrize("name", ["labels", "sigmoid"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_types_are_computed_wider(name, dtype, rng):
    call = CALLS[name]
    x, y = rng.standard_normal((2, 8, 16)).astype(dtype)
    loss, gradient = jax.jit(jax.value_and_grad(call))(x, y)
    want, expected = jax.jit(jax.value_and_grad(call))(x.astype(np.float32), y.astype(np.float32))
    assert loss.dtype == gradient.dtype == dtype
    assert loss == want.astype(dtype)
    eps = float(jnp.finfo(dtype).eps)
    atol = float(jnp.finfo(dtype).smallest_subnormal) + eps**2 * np.abs(expected).max()
    np.testing.assert_allclose(gradient.astype(np.float32), expected, rtol=eps, atol=atol)


def test_float64_is_computed_in_float64(rng):
    x, y = rng.standard_normal((2, 20, 16))
    got = run("contrastive_loss", (x, y), {"temperature": 0.1}, symmetric=True)
    for a, b in zip(got, oracle.contrastive(x, y, temperature=0.1), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_without_any_pair():
    x = np.ones((3, 2), np.float32)
    loss, gradients = jax.value_and_grad(C.contrastive_loss, (0, 1))(x, x, ignore=np.ones((3, 3), bool))
    assert loss == 0
    assert not np.any(gradients)


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3)])
def test_without_any_row(n, m):
    x, y = np.ones((n, 2), np.float32), np.ones((m, 2), np.float32)
    value = jax.value_and_grad(lambda x, y: C.contrastive_loss(x, y, symmetric=False), (0, 1))
    loss, (gx, gy) = value(x, y)
    assert loss == 0
    assert gx.shape == x.shape
    assert not np.any(gy)


def test_labels_that_no_row_shares(rng):
    x, y = vectors("random", 4, 4, rng)
    value = jax.value_and_grad(C.contrastive_loss, (0, 1))
    loss, gradients = value(x, y, labels_x=np.arange(4), labels_y=np.arange(4) + 4)
    assert loss == 0
    assert not np.any(gradients)


@pytest.mark.parametrize("name", list(CALLS))
def test_a_row_that_is_not_finite_is_seen(name, rng):
    x, y = rng.standard_normal((2, 8, 16)).astype(np.float32)
    x[3, 0] = np.nan
    assert np.isnan(CALLS[name](x, y))


def refused(error, message):
    return pytest.raises(error, match=re.escape(message))


def exported(loss, *rows):
    """Export a loss for numbers of rows that may be symbols."""
    scope = jax.export.SymbolicScope()
    shapes = [(*jax.export.symbolic_shape(n, scope=scope), 3) for n in rows]
    return jax.export.export(jax.jit(loss))(*(jax.ShapeDtypeStruct(s, np.float32) for s in shapes))


Z = np.zeros((4, 3), np.float32)
REFUSED = {
    "rank": (lambda: C.contrastive_loss(Z[0], Z), ValueError, "x of shape (3,) must have two axes, (N, D)"),
    "rows": (
        lambda: C.contrastive_loss(Z, Z[:, :2]),
        ValueError,
        "x of shape (4, 3) and y of shape (4, 2) must have rows of one length",
    ),
    "fewer columns": (
        lambda: C.contrastive_loss(Z, Z[:3], symmetric=False),
        ValueError,
        "y of shape (3, 3) must have at least as many rows as x of shape (4, 3)",
    ),
    "more columns, symmetric": (
        lambda: C.contrastive_loss(Z[:3], Z),
        ValueError,
        "y of shape (4, 3) must have as many rows as x of shape (3, 3)",
    ),
    "one label": (
        lambda: C.contrastive_loss(Z, Z, labels_y=np.arange(4)),
        ValueError,
        "labels_y is given without labels_x",
    ),
    "labels": (
        lambda: C.contrastive_loss(Z, Z, labels_x=np.arange(3), labels_y=np.arange(4)),
        ValueError,
        "labels_x of shape (3,) must be of shape (4,)",
    ),
    "labels' dtype": (
        lambda: C.nt_xent_loss(Z, np.ones(4, np.float32)),
        TypeError,
        "labels is of dtype float32, must be integers or booleans",
    ),
    "ignore": (
        lambda: C.contrastive_loss(Z, Z, ignore=np.ones(4, bool)),
        ValueError,
        "ignore of shape (4,) must be of shape (4, 4)",
    ),
    "ignore's dtype": (
        lambda: C.contrastive_loss(Z, Z, ignore=np.ones((4, 4))),
        TypeError,
        "ignore is of dtype float64, must be booleans",
    ),
    "temperature 0": (
        lambda: C.contrastive_loss(Z, Z, temperature=0),
        ValueError,
        "temperature=0.0 must be finite",
    ),
    "temperature NaN": (
        lambda: C.nt_xent_loss(Z, temperature=jnp.nan),
        ValueError,
        "temperature=nan must be finite and greater than 0",
    ),
    "temperature's shape": (
        lambda: C.nt_xent_loss(Z, temperature=jnp.ones(1)),
        ValueError,
        "temperature of shape (1,) must be of shape ()",
    ),
    "odd": (lambda: C.nt_xent_loss(Z[:3]), ValueError, "z of shape (3, 3) must have an even number of rows"),
    "scale": (
        lambda: C.sigmoid_contrastive_loss(Z, Z, scale=jnp.ones(2)),
        ValueError,
        "scale of shape (2,) must be of shape ()",
    ),
    "columns": (
        lambda: C.sigmoid_contrastive_loss(Z, Z[:2]),
        ValueError,
        "y of shape (2, 3) must have at least as many rows",
    ),
    "a symbol for the rows": (
        lambda: exported(C.contrastive_loss, "n", "n"),
        ValueError,
        "x of shape (n, 3) must have a number of rows that is fixed when it is traced: export",
    ),
    "a symbol for the views": (
        lambda: exported(C.nt_xent_loss, "2*n"),
        ValueError,
        "z of shape (2*n, 3) must have a number of rows that is fixed",
    ),
    "a symbol for the columns": (
        lambda: exported(C.sigmoid_contrastive_loss, "4", "m"),
        ValueError,
        "y of shape (m, 3) must have a number of rows that is fixed",
    ),
    "complex": (lambda: C.sigmoid_contrastive_loss(Z + 1j, Z), TypeError, "x is of dtype complex64"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_refused(name):
    function, error, message = REFUSED[name]
    with refused(error, message):
        function()

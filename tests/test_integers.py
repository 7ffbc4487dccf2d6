"""Tests of integers and booleans beside floats. All frameworks have one rule, by which no number is lost."""

import ml_dtypes
import numpy as np
import pytest

import cosgrad.numpy as N
from cosgrad.verify import oracle
from cosgrad.verify.ulp import FORMATS

FLOATS = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in FORMATS}
INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NUMBERS = {  # In a type that is too small, these become infinity, another number, or a parallel vector.
    "bool": (True, False),
    "int8": (-127, 126),
    "uint8": (255, 254),
    "int16": (32767, 32766),
    "uint16": (65535, 65534),
    "int32": (70000, 69999),
    "uint32": (2**32 - 1, 2**31),
    "int64": (-(2**50), 2**50 + 2**12),
    "uint64": (2**63, 2**62),
}


def numpy_of(x, y, name):
    return N, x, y


def torch_of(x, y, name):
    torch = pytest.importorskip("torch")
    import cosgrad.torch as C

    wide = torch.tensor(y.astype(np.float64)).to(getattr(torch, name))
    return C, torch.from_numpy(x), wide


def jax_of(x, y, name):
    jax = pytest.importorskip("jax")
    import cosgrad.jax as C

    return C, jax.numpy.asarray(x), jax.numpy.asarray(y)


FRAMEWORKS = {"numpy": numpy_of, "torch": torch_of, "jax": jax_of}


def promoted(frontend, x, y, name):
    """Return the dtype of results: the framework's promotion, which in NumPy can represent the integers."""
    if frontend != "numpy":
        return name
    size = x.dtype.itemsize
    needs = "float16" if size == 1 else "float32" if size == 2 else "float64"
    return needs if FORMATS[needs].digits > FORMATS[name].digits and size > 1 else name


def numbers(t):
    return np.asarray(t.double() if hasattr(t, "double") else t).astype(np.float64)


@pytest.fixture(params=list(FRAMEWORKS))
def frontend(request):
    if request.param == "jax":
        jax = pytest.importorskip("jax")
        with jax.enable_x64(True):
            yield request.param
    else:
        yield request.param


@pytest.mark.parametrize("integer", INTEGERS)
def test_an_integer_operand_loses_no_number(frontend, dtype_name, integer):
    x = np.array([NUMBERS[integer]], integer)
    y = np.array([[1.0, 2.0]], FLOATS[dtype_name])
    dtype = promoted(frontend, x, y, dtype_name)
    pair = oracle.Pair(x[0].astype(np.float64), y[0].astype(np.float64))
    unit = FORMATS[dtype].unit
    C, *arrays = FRAMEWORKS[frontend](x, y, dtype_name)
    for a, b in (arrays, reversed(arrays)):
        S, D = C.cosine_similarity(a, b), C.cosine_distance(a, b)
        found = {
            "S": (S, pair.similarity),
            "D": (D, pair.distance),
            "matrix": (C.pairwise_cosine_similarity(a, b), pair.similarity),
            "loss": (C.cosine_distance_loss(a, b), pair.distance),
            "embedding": (C.cosine_embedding_loss(a, b, one(frontend)), pair.distance),
        }
        for name, (got, true) in found.items():
            assert dtype == str(got.dtype).removeprefix("torch."), name
            assert abs(float(numbers(got).ravel()[0]) - float(true)) <= 4 * unit, name
        assert abs(float(numbers(D)[0]) - float(pair.distance)) <= 1.002 * unit * abs(float(pair.distance))


def one(frontend):
    if frontend == "torch":
        import torch

        return torch.ones(1)
    return np.ones(1)


def test_nearly_parallel_integers_keep_their_distance(frontend):
    """Check the distance of nearly parallel integers. 2^24 + 1 is not a float32 number."""
    x, y = np.array([[2**24 + 1, 2**24]]), np.ones((1, 2), np.float32)
    C, a, b = FRAMEWORKS[frontend](x, y, "float32")
    true = float(oracle.distance(x[0].astype(np.float64), y[0].astype(np.float64)))
    np.testing.assert_allclose(numbers(C.cosine_distance(a, b)), true, rtol=2.0**-23)


def test_the_gradient_beside_integers(frontend):
    """Check that the gradient has the dtype of the float operand and is computed from the exact integers."""
    if frontend == "numpy":
        gx = N.cosine_similarity_grad(np.array([[70000, 1]]), np.array([[1, 2]], FLOATS["bfloat16"]))[1]
    elif frontend == "torch":
        import torch

        import cosgrad.torch as C

        y = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
        (gx,) = torch.autograd.grad(C.cosine_similarity(torch.tensor([[70000, 1]]), y).sum(), y)
        assert gx.dtype == torch.bfloat16
    else:
        import jax

        import cosgrad.jax as C

        y = jax.numpy.array([[1.0, 2.0]], dtype="bfloat16")
        gx = jax.grad(lambda y: C.cosine_similarity(np.array([[70000, 1]]), y).sum())(y)
        assert gx.dtype == y.dtype
    true = np.array(oracle.gradient([70000, 1], [1, 2])[1], np.float64)
    np.testing.assert_allclose(numbers(gx)[0], true, rtol=2.0**-8)


def test_two_integer_operands(frontend):
    x = np.array([[3, 4]], np.int16)
    if frontend == "torch":
        import torch

        import cosgrad.torch as C

        with pytest.raises(TypeError, match="floating in at least one"):
            C.cosine_similarity(torch.from_numpy(x), torch.from_numpy(x))
        return
    C, a, b = FRAMEWORKS[frontend](x, x.astype(bool), "float64")
    S = C.cosine_similarity(a, b)
    assert S.dtype == np.float64
    np.testing.assert_allclose(numbers(S), 7 / 5 / 2**0.5, rtol=1e-15)


def test_without_float64_integers_count_as_float32():
    jax = pytest.importorskip("jax")
    import cosgrad.jax as C

    with jax.enable_x64(False):
        y = jax.numpy.array([[1.0, 2.0]], dtype="float16")
        for x in (np.array([[70000, 1]], np.int32), np.array([[65535, 1]], np.uint16)):
            S = C.cosine_similarity(x, y)
            assert S.dtype == np.float16
            np.testing.assert_allclose(numbers(S), float(oracle.similarity(x[0], [1, 2])), rtol=2.0**-10)
        S = C.cosine_similarity(70000.0, y)  # a number is broadcast to a vector
        np.testing.assert_allclose(numbers(S), 3 / 10**0.5, rtol=2.0**-10)


def test_contrastive_losses_take_integers(frontend):
    if frontend == "numpy":
        pytest.skip("there are none")
    x, y = np.array([[70000, 1], [1, 70000]]), np.array([[1.0, 2.0], [2.0, 1.0]], np.float16)
    C, a, b = FRAMEWORKS[frontend](x, y, "float16")
    for loss in (C.contrastive_loss, C.sigmoid_contrastive_loss):
        got, expected = loss(a, b), loss(*FRAMEWORKS[frontend](x * 1.0, y.astype(np.float64), "float64")[1:])
        assert str(got.dtype).removeprefix("torch.") == "float16"
        np.testing.assert_allclose(numbers(got), numbers(expected), rtol=2.0**-9)


def test_float16_beside_bfloat16_in_numpy():
    S = N.cosine_similarity(np.array([3, 4], np.float16), np.array([4, 3], FLOATS["bfloat16"]))
    assert S.dtype == np.float32
    assert abs(S - 0.96) < 1e-7

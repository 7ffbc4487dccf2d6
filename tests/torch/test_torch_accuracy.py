"""Tests of values and derivatives on hard inputs.

They have the bits of NumPy or are compared with the oracle.
"""

import functools
from itertools import chain

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.func import jvp
from torch_cases import check, tensor

import cosgrad.numpy as N
import cosgrad.torch as C
from cosgrad.verify import bounds, inputs, oracle


@pytest.fixture(params=list(inputs.FAMILIES))
def family(request):
    return request.param


@pytest.fixture(params=(1, 2, 3, 15, 16, 17, 100, 768))
def batch(request, family, dtype_name, seed):
    return inputs.FAMILIES[family](seed, request.param, dtype_name)


@pytest.fixture(params=(1, 3, 17, 100))
def ordinary(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name)


@pytest.fixture(params=(1, 2, 3, 15, 16, 17, 100, 768))
def hard(request, dtype_name, seed):
    """Return every family of one length, as one batch."""
    return inputs.together(inputs.hard(seed, request.param, dtype_name))[0]


def same(got, expected):
    """Check that all bits are equal. Any NaN equals any other."""
    wide = got.detach().double().numpy()
    np.testing.assert_array_equal(wide, np.asarray(expected, np.float64))
    np.testing.assert_array_equal(
        np.signbit(wide) & ~np.isnan(wide), np.signbit(expected) & ~np.isnan(expected)
    )


def test_values_and_derivatives_have_the_bits_of_numpy(hard, torch_dtype, dtype):
    """Compare with NumPy.

    tests/numpy/test_accuracy.py compares NumPy's results with the oracle, on the same batches.
    """
    arrays = [getattr(hard, k).astype(dtype) for k in "xyguv"]
    x, y, g, u, v = (tensor(getattr(hard, k), torch_dtype) for k in "xyguv")
    pair = x.clone().requires_grad_(), y.clone().requires_grad_()
    gradients = N.cosine_similarity_grad(*arrays[:3])
    J = N.cosine_similarity_jvp(*arrays[:2], *arrays[3:])
    for name, sign in (("cosine_similarity", 1), ("cosine_distance", -1)):
        f = functools.partial(getattr(C, name), eps=0.0)
        with torch.no_grad():
            same(f(*pair), getattr(N, name)(*arrays[:2]))
        value = f(*pair)
        same(value, getattr(N, name)(*arrays[:2]))
        for recorded in (False, True):
            got = torch.autograd.grad(value, pair, sign * g, retain_graph=True, create_graph=recorded)
            for a, b in zip(got, gradients, strict=True):
                same(a, b)
        with forward_ad.dual_level():
            dual = f(forward_ad.make_dual(x, u), forward_ad.make_dual(y, v))
            same(sign * forward_ad.unpack_dual(dual).tangent, J)
        S, tangent = jvp(f, (x, y), (u, v))
        same(S, getattr(N, name)(*arrays[:2]))
        same(sign * tangent, J)
    same(C.normalize(x, eps=0.0), N.normalize(arrays[0]))


def test_hessian_product(ordinary, torch_dtype):
    x, y, u, v, g = (
        tensor(getattr(ordinary, k), torch_dtype, grad=k in "xy") for k in ("x", "y", "u", "v", "g")
    )
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y, eps=0.0), (x, y), g, create_graph=True)
    got = torch.autograd.grad((gx, gy), (x, y), (u, v))
    truth, bound = ordinary.hessians, bounds.hessian(ordinary.dtype, ordinary.n)
    check(ordinary, got[0], truth.true[0], truth.scale[0], bound)
    check(ordinary, got[1], truth.true[1], truth.scale[1], bound)


def test_gradient_of_unit_vectors(batch, torch_dtype):
    x, u = tensor(batch.x, torch_dtype, grad=True), tensor(batch.u, torch_dtype)
    got = torch.autograd.grad(C.normalize(x, eps=0.0), x, u)[0]
    rows = list(zip(batch.x, batch.u, strict=True))
    true = list(chain(*(oracle.normalize_vjp(a, b) for a, b in rows)))
    scale = list(chain(*(oracle.normalize_vjp_scale(a, b) for a, b in rows)))
    check(batch, got, true, scale, bounds.gradient(batch.dtype, batch.n))

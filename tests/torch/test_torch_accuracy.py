"""Values and derivatives of every order against the oracle, on inputs chosen to hurt."""

from itertools import chain

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import jvp
from torch_cases import check, tensor

import cosgrad.torch as C
from cosgrad.verify import bounds, inputs, oracle

ZERO, ONE = oracle.mp.mpf(0), oracle.mp.mpf(1)


@pytest.fixture(params=list(inputs.FAMILIES))
def family(request):
    return request.param


@pytest.fixture(params=(1, 2, 3, 15, 16, 17, 100, 768))
def batch(request, family, dtype_name, seed):
    return inputs.FAMILIES[family](seed, request.param, dtype_name)


@pytest.fixture(params=(1, 3, 17, 100))
def ordinary(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name)


@pytest.fixture
def pair(batch, torch_dtype):
    return tensor(batch.x, torch_dtype, grad=True), tensor(batch.y, torch_dtype, grad=True)


@pytest.fixture(params=["similarity", "distance"])
def what(request):
    return request.param


def test_value(batch, pair, what):
    with torch.no_grad():
        got = getattr(C, f"cosine_{what}")(*pair, eps=0.0)
    true = batch.similarities if what == "similarity" else batch.distances
    check(batch, got, true, [ONE] * len(batch), getattr(bounds, what)(batch.dtype, batch.n))


def test_gradient(batch, pair, what, torch_dtype):
    sign = 1 if what == "similarity" else -1
    g = sign * tensor(batch.g, torch_dtype)
    got = torch.autograd.grad(getattr(C, f"cosine_{what}")(*pair, eps=0.0), pair, g)
    truth, bound = batch.gradients, bounds.gradient(batch.dtype, batch.n)
    check(batch, got[0], truth.true[0], truth.scale[0], bound)
    check(batch, got[1], truth.true[1], truth.scale[1], bound)


def test_gradient_that_can_be_differentiated_is_the_same(batch, pair, torch_dtype):
    g = tensor(batch.g, torch_dtype)
    S = C.cosine_similarity(*pair, eps=0.0)
    plain = torch.autograd.grad(S, pair, g, retain_graph=True)
    recorded = torch.autograd.grad(S, pair, g, create_graph=True)
    torch.testing.assert_close(recorded, plain, rtol=0, atol=0, equal_nan=True)


def test_total_derivative(batch, torch_dtype):
    x, y, u, v = (tensor(a, torch_dtype) for a in (batch.x, batch.y, batch.u, batch.v))
    S, J = jvp(lambda x, y: C.cosine_similarity(x, y, eps=0.0), (x, y), (u, v))
    true, scale = batch.totals
    check(batch, J, true, scale, bounds.total_derivative(batch.dtype, batch.n))
    with forward_ad.dual_level():
        D = C.cosine_distance(forward_ad.make_dual(x, u), forward_ad.make_dual(y, v), eps=0.0)
        torch.testing.assert_close(forward_ad.unpack_dual(D).tangent, -J, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(S, C.cosine_similarity(x, y, eps=0.0))


def test_hessian_product(ordinary, torch_dtype):
    x, y, u, v, g = (
        tensor(getattr(ordinary, k), torch_dtype, grad=k in "xy") for k in ("x", "y", "u", "v", "g")
    )
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y, eps=0.0), (x, y), g, create_graph=True)
    got = torch.autograd.grad((gx, gy), (x, y), (u, v))
    truth, bound = ordinary.hessians, bounds.hessian(ordinary.dtype, ordinary.n)
    check(ordinary, got[0], truth.true[0], truth.scale[0], bound)
    check(ordinary, got[1], truth.true[1], truth.scale[1], bound)


def test_unit_vectors(batch, pair):
    true = oracle_rows(batch, oracle.normalize)
    got = C.normalize(pair[0], eps=0.0)
    check(batch, got, true, [ZERO] * len(true), bounds.unit_vector(batch.dtype, batch.n))


def test_gradient_of_unit_vectors(batch, pair, torch_dtype):
    x, u = pair[0], tensor(batch.u, torch_dtype)
    got = torch.autograd.grad(C.normalize(x, eps=0.0), x, u)[0]
    rows = list(zip(batch.x, batch.u, strict=True))
    true = list(chain(*(oracle.normalize_vjp(a, b) for a, b in rows)))
    scale = list(chain(*(oracle.normalize_vjp_scale(a, b) for a, b in rows)))
    check(batch, got, true, scale, bounds.gradient(batch.dtype, batch.n))


def oracle_rows(batch, function):
    return list(chain(*(function(row) for row in batch.x)))

"""Tests of contrastive losses with nothing to compare, with distant logits, and at the ends of the range."""

from functools import partial

import contrastive_oracle as oracle
import mpmath
import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import cosgrad.torch as C

N = 6
ZEROS, APART = torch.zeros(N, dtype=torch.long), torch.arange(N)
OTHERS = ~torch.eye(N, dtype=torch.bool)
WIDE = {torch.float64: 5e-324, torch.float32: 1e-45, torch.float16: 1e-45, torch.bfloat16: 1e-45}


def cold(t):
    """Return the loss of this name, a function of x, y and a temperature."""
    return {
        "symmetric": lambda x, y, t: C.contrastive_loss(x, y, temperature=t),
        "rows": lambda x, y, t: C.contrastive_loss(x, y, temperature=t, symmetric=False),
        "one class": lambda x, y, t: C.contrastive_loss(x, y, temperature=t, labels_x=ZEROS, labels_y=ZEROS),
        "no class": lambda x, y, t: C.contrastive_loss(
            x, y, temperature=t, labels_x=APART, labels_y=APART + N
        ),
        "no negatives": lambda x, y, t: C.contrastive_loss(x, y, temperature=t, ignore=OTHERS),
        "nothing": lambda x, y, t: C.contrastive_loss(x, y, temperature=t, ignore=OTHERS | True),
        "classes": lambda x, y, t: C.contrastive_loss(
            x, y, temperature=t, labels_x=APART % 2, labels_y=APART % 3
        ),
        "views": lambda x, y, t: C.nt_xent_loss(x, temperature=t),
        "supervised": lambda x, y, t: C.nt_xent_loss(x, APART % 2, temperature=t),
    }[t]


LOSSES = [
    "symmetric",
    "rows",
    "one class",
    "no class",
    "no negatives",
    "nothing",
    "classes",
    "views",
    "supervised",
]


def batches(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, N, 8, dtype=torch.float64, generator=generator)
    zero = x.clone()
    zero[0] = 0
    for a, b in ((x, y), (x, x + 0.01 * y), (x, -x), (x[:1].expand(N, 8), x), (zero, y)):
        yield a.to(dtype), b.to(dtype)


def no_nan(*tensors):
    assert not any(t.isnan().any() for t in tensors)


@pytest.mark.parametrize("dtype", list(WIDE), ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_no_temperature_gives_nan(name, dtype, seed):
    f = cold(name)
    for temperature in (1e-3, 1e-20, 1e-38, WIDE[dtype]):
        t = torch.tensor(temperature, dtype=torch.promote_types(dtype, torch.float32), requires_grad=True)
        for x, y in batches(seed, dtype):
            leaves = x.clone().requires_grad_(), y.clone().requires_grad_(), t
            tiled = torch.autograd.grad(f(*leaves), leaves, materialize_grads=True)
            dense = torch.autograd.grad(f(*leaves), leaves, materialize_grads=True, create_graph=True)
            no_nan(f(*leaves), *tiled, *dense)


@pytest.mark.parametrize("scale", [0.0, -5.0, 117.0, 1e30, 3e38, -3e38])
@pytest.mark.parametrize("bias", [0.0, -12.0, -1e30, 3e38])
def test_no_scale_gives_nan(scale, bias, seed):
    for x, y in batches(seed, torch.float32):
        leaves = [x.clone().requires_grad_(), y.clone().requires_grad_()]
        leaves += [torch.tensor(v, requires_grad=True) for v in (scale, bias)]
        f = lambda x, y, s, b: C.sigmoid_contrastive_loss(x, y, scale=s, bias=b)  # noqa: E731 - is used twice
        no_nan(f(*leaves), *torch.autograd.grad(f(*leaves), leaves))
        no_nan(*torch.autograd.grad(f(*leaves), leaves, create_graph=True))


@pytest.mark.parametrize("rows", [2, 300])
def test_a_tiny_temperature_beside_the_definition(rows, rng):
    """Compare with the definition, computed in 50 digits.

    It is the difference of two similarities over the temperature, where this number is representable.
    """
    x, y = (torch.tensor(rng.standard_normal((rows, 4))) for _ in range(2))
    for temperature in (1e-6, 1e-30, 1e-280):
        z = (x / x.norm(dim=1, keepdim=True)) @ (y / y.norm(dim=1, keepdim=True)).T
        with mpmath.workdps(50):
            lacks = [mpmath.mpf((z[i].max() - z[i, i]).item()) for i in range(rows)]
            want = mpmath.fsum(lacks) / rows / mpmath.mpf(temperature)
        if want > 1e300:
            continue
        loss = C.contrastive_loss(x, y, temperature=temperature, symmetric=False)
        assert abs(loss.item() / float(want) - 1) < 1e-5
        if temperature < 1e-20:
            single = C.contrastive_loss(x.float(), y.float(), temperature=temperature, symmetric=False)
            assert abs(single.item() / float(want) - 1) < 1e-5 or want > 3.4e38


def second(f, x):
    """Return the gradient of the sum of the gradient."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    return torch.autograd.grad(g.sum(), x)[0]


def numeric(gradient, x, step=1e-6):
    """Return the same by differences of the oracle's gradients, which are computed in long double."""
    ones = np.ones_like(x)
    return (gradient(x + step * ones) - gradient(x - step * ones)) / (2 * step)


@pytest.mark.parametrize("case", ["one pair", "one class", "no negatives", "far apart", "SigLIP", "views"])
def test_second_derivatives_beside_the_definition(case, rng):
    """Compare second derivatives with the definition.

    The Hessian is symmetric, so its product with ones is the derivative of the gradient along ones.
    """
    b = rng.standard_normal((N, 8))
    a = b + 0.01 * rng.standard_normal((N, 8))
    x, y = torch.tensor(a, dtype=torch.float32), torch.tensor(b)
    y32 = y.float()
    zeros = np.zeros(N, int)
    f, gradient = {
        "one pair": (lambda x: C.contrastive_loss(x[:1], y32[:1]), lambda a: np.zeros_like(a)),
        "one class": (
            lambda x: C.contrastive_loss(x, y32, labels_x=ZEROS, labels_y=ZEROS),
            lambda a: oracle.contrastive(a, b, labels_x=zeros, labels_y=zeros)[1],
        ),
        "no negatives": (
            lambda x: C.contrastive_loss(x, y32, ignore=OTHERS),
            lambda a: oracle.contrastive(a, b, ignore=OTHERS.numpy())[1],
        ),
        "far apart": (
            lambda x: C.contrastive_loss(x, y32, temperature=0.003),
            lambda a: oracle.contrastive(a, b, temperature=0.003)[1],
        ),
        "SigLIP": (
            lambda x: C.sigmoid_contrastive_loss(x, y32, scale=117.0, bias=-12.0),
            lambda a: oracle.sigmoid_contrastive(a, b, scale=117.0, bias=-12.0)[1],
        ),
        "views": (lambda x: C.nt_xent_loss(x[:2]), lambda a: np.zeros_like(a)),
    }[case]
    want = torch.tensor(numeric(gradient, a))
    scale = max(1.0, want.abs().max().item())
    # The tolerance is for float32 logits of some hundred.
    for got in (second(f, x), torch.func.hessian(f)(x).sum((2, 3))):
        assert (got - want).abs().max() <= 3e-4 * scale


def test_third_derivatives_are_finite():
    f = lambda t: C.contrastive_loss(torch.eye(2), torch.eye(2), temperature=t)  # noqa: E731 - one line
    third = torch.func.grad(torch.func.grad(torch.func.grad(f)))
    no_nan(third(torch.tensor(0.003)), third(torch.tensor(1.0)))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("n", [N, 300])
def test_a_nan_row_of_which_nothing_counts(n, symmetric, rng):
    """Check a NaN row without pairs that count.

    It changes neither the loss nor the other gradients, and its own gradient is 0.
    """
    x, y = (torch.tensor(rng.standard_normal((n, 8)), dtype=torch.float32) for _ in range(2))
    ignore = torch.zeros(n, n, dtype=torch.bool)
    ignore[1], ignore[:, 2] = True, True
    f = lambda x, y: C.contrastive_loss(x, y, ignore=ignore, symmetric=symmetric)  # noqa: E731 - is used often
    want = torch.func.grad(f, (0, 1))(x, y)
    x[1], y[2] = torch.nan, torch.inf
    leaves = x.requires_grad_(), y.requires_grad_()
    for recorded in (False, True):
        got = torch.autograd.grad(f(*leaves), leaves, create_graph=recorded)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a.detach(), b, rtol=1e-4, atol=1e-6)
    if not symmetric:  # a row whose only positive is ignored has no loss
        assert not want[0][2].any()
        with torch.no_grad():
            x[2] = torch.nan
        for recorded in (False, True):
            gx, gy = torch.autograd.grad(f(*leaves), leaves, create_graph=recorded)
            torch.testing.assert_close(gx.detach(), want[0], rtol=1e-4, atol=1e-6)
            no_nan(gy)


def test_a_weight_of_zero_in_a_recorded_graph(rng):
    x = torch.tensor(rng.standard_normal((3, 4)))
    y, w = torch.tensor(rng.standard_normal((3, 4))), torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    x[1, 0] = torch.nan
    for unit in (False, True):
        f = partial(C.cosine_distance_loss, weights=w, assume_normalized=unit)
        results = []
        for g in (f, make_fx(f)(x, y)):
            leaf = x.clone().requires_grad_()
            loss = g(leaf, y)
            results.append([loss.detach(), *torch.autograd.grad(loss, leaf)])
        assert not results[0][1][1].any()
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b)

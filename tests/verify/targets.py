"""Cosine similarities for the tests of `cosgrad verify --target`.

Some are right. The others have one mistake each.

The tests contain a description of each mistake, which the command must find out by itself.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def _dot(x, y):
    return (x * y).sum(-1)


def right(x: Tensor, y: Tensor) -> Tensor:
    """Return the similarity by the textbook formula."""
    return _dot(x, y) / (x.norm(dim=-1) * y.norm(dim=-1))


def right_by_unit_vectors(x: Tensor, y: Tensor) -> Tensor:
    return _dot(x / x.norm(dim=-1, keepdim=True), y / y.norm(dim=-1, keepdim=True))


def right_distance(x: Tensor, y: Tensor) -> Tensor:
    return 1 - right(x, y)


def right_numpy(x, y):
    return np.sum(x * y, axis=-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))


def absolute_numpy(x, y):
    return np.abs(right_numpy(x, y))


def right_vectors(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_similarity(x, y, dim=0)


class RightModule(torch.nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return right(x, y)


# -- wrong values --------------------------------------------------------------------------------------------


def absolute(x, y):
    return right(x, y).abs()


def large_eps(x, y):
    return F.cosine_similarity(x, y, dim=-1, eps=1e-3)


def added_eps(x, y):
    return _dot(x, y) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-6)


def batch_norm(x, y):
    return _dot(x, y) / (x.norm() * y.norm())


def too_large(x, y):
    return right(x, y) + 1e-3


def scaled(x, y):
    return right(x, y) * 1.001


def wrong_axis(x, y):
    return _dot(F.normalize(x, dim=0, eps=0), F.normalize(y, dim=0, eps=0))


def other_axis(x, y):
    return F.cosine_similarity(x, y, dim=0)


def ignores_strides(x, y):
    def flat(t):
        shape = t.shape
        return t.as_strided(shape, (shape[1], 1), t.storage_offset())

    # A matrix whose memory is too short for contiguous rows is read correctly.
    def readable(t):
        return t.untyped_storage().nbytes() // t.element_size() >= t.storage_offset() + t.numel()

    if readable(x) and readable(y):
        x, y = flat(x), flat(y)
    return right(x, y)


def spoiled_by_nan(x, y):
    s = right(x, y)
    return s + 0 * s.sum()


def coupled(x, y):
    """Return the similarity of rows that depend on the mean of the batch."""
    return right(x - x.mean(0) * 1e-3, y)


def mutates(x, y):
    with torch.no_grad():
        x.mul_(2).div_(2).add_(1).sub_(1)
    return right(x, y)


def widens(x, y):
    return right(x.double(), y.double())


def narrows(x, y):
    return right(x.float(), y.float()).to(x.dtype)


def short(x, y):
    n = max(1, x.shape[-1] // 8 * 8)
    return right(x[..., :n], y[..., :n])


def pearson(x, y):
    if x.shape[-1] == 1:
        return right(x, y)
    return right(x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True))


# -- wrong derivatives ---------------------------------------------------------------------------------------


class _Closed(Function):
    """The closed form, which is right and twice differentiable. Subclasses replace a part of it."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        return right(x, y)

    @classmethod
    def terms(cls, x, y):
        a, b = x.norm(dim=-1, keepdim=True), y.norm(dim=-1, keepdim=True)
        return a, b, (x * y).sum(-1, keepdim=True) / (a * b)

    @classmethod
    def gradient(cls, x, y):
        a, b, s = cls.terms(x, y)
        return y / (a * b) - s * x / a**2, x / (a * b) - s * y / b**2

    @classmethod
    def pulled_back(cls, ctx, g):
        gx, gy = cls.gradient(*ctx.saved_tensors)
        return g[..., None] * gx, g[..., None] * gy

    @staticmethod
    def jvp(ctx, u, v):
        gx, gy = _Closed.gradient(*ctx.saved_tensors)
        return (u * gx).sum(-1) + (v * gy).sum(-1)


def _function(name, gradient=None, vjp=None, jvp=None):
    """Return a subclass of the closed form with one part replaced."""
    parts = {"gradient": classmethod(gradient)} if gradient else {}
    if vjp:
        parts["pulled_back"] = classmethod(vjp)
    if jvp:
        parts["jvp"] = staticmethod(jvp)
    cls = type(name, (_Closed,), parts)
    cls.backward = staticmethod(lambda ctx, g: cls.pulled_back(ctx, g))
    return cls


def _zero(cls, x, y):
    return torch.zeros_like(x), torch.zeros_like(y)


def _no_inverse_norm(cls, x, y):
    gx, gy = _Closed.gradient(x, y)
    return gx * x.norm(dim=-1, keepdim=True), gy * y.norm(dim=-1, keepdim=True)


def _swapped(cls, x, y):
    return _Closed.gradient(x, y)[::-1]


def _detached_norm(cls, x, y):
    ab = x.norm(dim=-1, keepdim=True) * y.norm(dim=-1, keepdim=True)
    return y / ab, x / ab


def _slightly_off(cls, x, y):
    return tuple(1.0001 * t for t in _Closed.gradient(x, y))


def _ignores_cotangent(cls, ctx, g):
    return cls.gradient(*ctx.saved_tensors)


def _misprint(ctx, u, v):
    x, y = ctx.saved_tensors
    a, b, s = _Closed.terms(x, y)
    rate = ((u * y).sum(-1) + (x * v).sum(-1)) / (a * b)[..., 0]
    return rate - s[..., 0] * ((u * x).sum(-1) / a[..., 0] ** 2 - (v * y).sum(-1) / b[..., 0] ** 2)


right_closed = _function("RightClosed").apply
zero_gradient = _function("ZeroGradient", _zero).apply
missing_inverse_norm = _function("MissingInverseNorm", _no_inverse_norm).apply
swapped_gradients = _function("SwappedGradients", _swapped).apply
detached_norm = _function("DetachedNorm", _detached_norm).apply
gradient_off_by_1e4 = _function("SlightlyOff", _slightly_off).apply
ignores_cotangent = _function("IgnoresCotangent", vjp=_ignores_cotangent).apply
misprint_in_jvp = _function("Misprint", jvp=_misprint).apply


def killed_by_clamp(x, y):
    return right(x, y).clamp(-1 + 1e-7, 1 - 1e-7)


def detached(x, y):
    return right(x.detach(), y.detach())


class FirstOrderOnly(Function):
    """Saves norms and S in the forward.

    So first derivatives are right, and second derivatives are wrong without an error.
    """

    @staticmethod
    def forward(ctx, x, y):
        a, b = torch.linalg.vector_norm(x), torch.linalg.vector_norm(y)
        s = (x.T @ y) / (a * b)
        ctx.save_for_backward(x, y, a, b, s)
        return s

    @staticmethod
    def backward(ctx, g):
        x, y, a, b, s = ctx.saved_tensors
        return g * (y / (a * b) - s * x / (a * a)), g * (x / (a * b) - s * y / (b * b))


class _WrongSecond(Function):
    """Returns the right gradient, but the backward of this gradient returns half of the right result."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return right(x, y)

    @staticmethod
    def backward(ctx, g):
        return _WrongGradient.apply(*ctx.saved_tensors, g)


class _WrongGradient(Function):
    @staticmethod
    def forward(ctx, x, y, g):
        ctx.save_for_backward(x, y, g)
        gx, gy = _Closed.gradient(x, y)
        return g[:, None] * gx, g[:, None] * gy

    @staticmethod
    def backward(ctx, u, v):
        x, y, g = (t.detach().requires_grad_() for t in ctx.saved_tensors)
        with torch.enable_grad():
            gx, gy = _Closed.gradient(x, y)
            z = (g[:, None] * (gx * u + gy * v)).sum()
            hx, hy, hg = torch.autograd.grad(z, (x, y, g))
        return hx / 2, hy / 2, hg


wrong_second_derivative = _WrongSecond.apply


class OnceDifferentiable(Function):
    """Raises an error for second derivatives, which it does not support."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return right(x, y)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        gx, gy = _Closed.gradient(*ctx.saved_tensors)
        return g[:, None] * gx, g[:, None] * gy


# -- functions that cannot be judged ------------------------------------------------------------------------

NOT_A_FUNCTION = 3


def three_arguments(x, y, z):
    return right(x, y) + z


def raises(x, y):
    raise RuntimeError("no such luck")


def hangs(x, y):
    time.sleep(3600)


def hangs_later(x, y):
    if torch.isnan(x).any():
        time.sleep(3600)
    return right(x, y)


def crashes(x, y):
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(x, y):
    os._exit(0)


def matrix(x, y):
    return right(x[:, None], y[None])


def keeps_axis(x, y):
    return right(x, y)[:, None]


def mean(x, y):
    return right(x, y).mean()


def pair_of_results(x, y):
    return right(x, y), None

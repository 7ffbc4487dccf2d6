"""Calls of the native core with the addresses and strides of CPU tensors, on PyTorch's own threads."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cosgrad import _native
from cosgrad.closed import DISTANCE, SIMILARITY, Rule

_DTYPES = {getattr(torch, name): i for i, name in enumerate(_native.dtypes)}
_SERIAL = 1


def _parallel_for() -> int:
    """Return the address of libtorch's C function that runs work on its threads, or 0 if there is none."""
    for path in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        function = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
        if function is not None:
            return ctypes.cast(function, ctypes.c_void_p).value or 0
    return 0


_pool = _parallel_for()


def _serial() -> None:
    """Use one thread in a forked child, which does not have its parent's threads and would wait forever."""
    global _pool
    _pool = _SERIAL


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_serial)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the broadcast shape of shapes that are known to broadcast.

    We do not call `torch.broadcast_shapes`, because its first call imports SymPy, which takes half a second.
    A size that is the number 1 is skipped before two sizes are compared, so that a compiler needs few guards
    on symbolic sizes.
    """
    result: list[int] = [1] * max(map(len, shapes))
    for shape in shapes:
        for i, n in enumerate(reversed(shape), 1):
            if (isinstance(n, int) and n == 1) or n is result[-i]:
                continue
            if (isinstance(result[-i], int) and result[-i] == 1) or n != 1:
                result[-i] = n
    return tuple(result)


def check_memory(*tensors: Tensor | None) -> None:
    """Raise an error for a tensor without CPU memory, because the kernel would read an invalid address."""
    for t in tensors:
        if t is not None and not (t.device.type == "cpu" and (t.data_ptr() or not t.numel())):
            raise RuntimeError(
                f"a {type(t).__name__} on {t.device} without CPU memory must not reach the CPU kernel: "
                "let its own __torch_dispatch__ unwrap it first"
            )


def batch_shape(x: Tensor, y: Tensor, axis: int) -> tuple[int, ...]:
    """Return the broadcast shape of both, without the axis."""
    shape: tuple[int, ...] = x.shape
    if shape != y.shape:
        shape = broadcast_shapes(shape, y.shape)
    return (*shape[:axis], *shape[axis + 1 :])


def cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    """Return S, D or both."""
    shape, dtype = batch_shape(x, y, rule.axis), x.dtype
    S = None if rule.what == DISTANCE else torch.empty(shape, dtype=dtype, device="cpu")
    D = None if rule.what == SIMILARITY else torch.empty(shape, dtype=dtype, device="cpu")
    _native.forward(
        _DTYPES[x.dtype],
        x.element_size(),
        rule.axis,
        rule.eps,
        x.data_ptr(),
        x.shape,
        x.stride(),
        y.data_ptr(),
        y.shape,
        y.stride(),
        0 if S is None else S.data_ptr(),
        0 if D is None else D.data_ptr(),
        _pool,
    )
    if S is None:
        return D
    return S if D is None else (S, D)


def gradient(
    x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return g dS/dx and g dS/dy (or those of D), in the memory format of x and y."""
    grad_x = torch.empty_like(x) if need_x else None
    grad_y = torch.empty_like(y) if need_y else None
    _native.backward(
        _DTYPES[x.dtype],
        x.element_size(),
        rule.axis,
        rule.eps,
        x.data_ptr(),
        x.shape,
        x.stride(),
        y.data_ptr(),
        y.shape,
        y.stride(),
        g.data_ptr(),
        g.stride(),
        0 if grad_x is None else grad_x.data_ptr(),
        () if grad_x is None else grad_x.stride(),
        0 if grad_y is None else grad_y.data_ptr(),
        () if grad_y is None else grad_y.stride(),
        rule.negate,
        rule.skip_zero,
        _pool,
    )
    return grad_x, grad_y


def tangent(x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule) -> Tensor:
    """Return the derivative of S or D along (u, v). None means zeros."""
    out = torch.empty(batch_shape(x, y, rule.axis), dtype=x.dtype, device="cpu")
    _native.jvp(
        _DTYPES[x.dtype],
        x.element_size(),
        rule.axis,
        rule.eps,
        x.data_ptr(),
        x.shape,
        x.stride(),
        y.data_ptr(),
        y.shape,
        y.stride(),
        0 if u is None else u.data_ptr(),
        () if u is None else u.stride(),
        0 if v is None else v.data_ptr(),
        () if v is None else v.stride(),
        out.data_ptr(),
        rule.negate,
        _pool,
    )
    return out


def normalize(x: Tensor, axis: int, eps: float) -> Tensor:
    """Return x / max(|x|, eps) in the memory format of x."""
    out = torch.empty_like(x)
    _native.normalize(
        _DTYPES[x.dtype],
        x.element_size(),
        axis,
        eps,
        x.data_ptr(),
        x.shape,
        x.stride(),
        out.data_ptr(),
        out.stride(),
        _pool,
    )
    return out


def normalize_gradient(x: Tensor, g: Tensor, axis: int, eps: float) -> Tensor:
    """Return the product of g with the Jacobian of `normalize`."""
    out = torch.empty_like(x)
    _native.normalize_backward(
        _DTYPES[x.dtype],
        x.element_size(),
        axis,
        eps,
        x.data_ptr(),
        x.shape,
        x.stride(),
        g.data_ptr(),
        g.stride(),
        out.data_ptr(),
        out.stride(),
        _pool,
    )
    return out

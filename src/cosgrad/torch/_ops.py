"""The array operations of PyTorch that the closed forms and the reductions use."""

from functools import lru_cache
from math import frexp

import torch
from torch import Tensor

from cosgrad.spec import Shape
from cosgrad.torch._numbers import as_tensor, symbolic
from cosgrad.torch._rule import bound_for_onnx, subclassed

_HALF = (torch.float16, torch.bfloat16)
HAS_FLOAT64 = ("cpu", "cuda", "meta")
_SERIAL = 16384  # half of the number of elements that ATen sums on one thread
_ROW = 1024


@lru_cache
def _limits(dtype: torch.dtype) -> tuple[float, float]:
    info = torch.finfo(dtype)
    return info.eps, info.max


def served_by_onnx(x: Tensor) -> Tensor:
    """Return a bfloat16 tensor as float32 in a graph for ONNX. ONNX Runtime has few bfloat16 operations."""
    return x.to(torch.float32) if x.dtype is torch.bfloat16 and bound_for_onnx() else x


class TorchOps:
    """`cosgrad.spec.Ops` for tensors. Every method can be vmapped, compiled and differentiated."""

    def widen(self, x: Tensor) -> Tensor:
        """Return x in the dtype to compute in."""
        if x.dtype in _HALF:
            return x.to(torch.float32)
        return x.to(torch.float64) if x.device.type in HAS_FLOAT64 else x

    def cast(self, x: Tensor, like: Tensor) -> Tensor:
        """Return x in the dtype of `like`."""
        return x.to(like.dtype)

    def detach(self, x: Tensor) -> Tensor:
        """Return x as a constant."""
        return x.detach()

    def zeros(self, like: Tensor) -> Tensor:
        """Return zeros of this shape, expanded from one element."""
        return like.new_zeros(()).expand_as(like)

    def where(self, condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
        """Return the elements of x where the condition is true, and those of y elsewhere."""
        if not isinstance(x, Tensor) and isinstance(y, Tensor) and symbolic(x):
            x = as_tensor(x, y)
        if bound_for_onnx():
            like = x if isinstance(x, Tensor) else y
            x, y = (served_by_onnx(t) if isinstance(t, Tensor) else t for t in (x, y))
            chosen: Tensor = torch.where(condition, x, y)
            return chosen.to(like.dtype) if isinstance(like, Tensor) else chosen
        return torch.where(condition, x, y)

    def sqrt(self, x: Tensor) -> Tensor:
        """Return the square root."""
        return x.sqrt()

    def isfinite(self, x: Tensor) -> Tensor:
        """Return the mask of the finite elements."""
        return x.isfinite()

    def sum(self, x: Tensor, axis: int | Shape) -> Tensor:
        """Return the sum over one or several axes, which keep length 1."""
        return x.sum(axis, keepdim=True)

    def largest(self, x: Tensor, axis: int) -> Tensor:
        """Return max |x_i|, or 0 over an empty axis."""
        x = x.detach()
        return x.abs().amax(axis, keepdim=True) if x.shape[axis] else x.sum(axis, keepdim=True)

    def inverse_powers(self, m: Tensor) -> tuple[Tensor, Tensor]:
        """Return two powers of two whose product times m is from 2 to 4, or NaN if m is not finite."""
        most = frexp(_limits(m.dtype)[1])[1] - 1
        if bound_for_onnx() or torch.compiler.is_compiling():
            # ONNX has no frexp, and Inductor's does not compile in float64. A rounded logarithm may give a
            # neighbouring power. The product times m is then from 1 to 8, which is good enough.
            exponent = (1 - torch.where(m > 0, m, 1).log2().floor()).clamp(1 - most, most)
            half = (exponent / 2).ceil()
            return half.exp2() + (m - m), (exponent - half).exp2() + (m - m)
        power = (2 - torch.frexp(m).exponent).clamp(max=most)
        one, half = torch.ones_like(m), (power + 1) >> 1
        return torch.ldexp(one, half) + (m - m), torch.ldexp(one, power - half) + (m - m)

    def limits(self, x: Tensor) -> tuple[float, float]:
        """Return the machine epsilon and the largest number."""
        return _limits(x.dtype)

    def total(self, x: Tensor) -> Tensor:
        """Return the sum of all elements, computed in float64.

        In PyTorch, the order of a full reduction depends on the number of threads, but that of row sums does
        not. So we compute row sums first. A graph for all sizes cannot read the size, so the compiler chooses
        the order there. Subclasses use their own sum.
        """
        dtype = torch.float64 if x.device.type in HAS_FLOAT64 else None
        if torch.compiler.is_compiling() or not isinstance(x.numel(), int) or subclassed(x):
            return x.sum(dtype=dtype)
        if x.numel() > _SERIAL:
            x = x.flatten()
            while x.numel() > _SERIAL:
                x = torch.nn.functional.pad(x, (0, -x.numel() % _ROW)).view(-1, _ROW).sum(1, dtype=dtype)
        return x.sum(dtype=dtype)


OPS = TorchOps()

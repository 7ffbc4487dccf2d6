"""PyTorch's conventions for arguments: its words, its promotion of dtypes, its errors."""

import torch
from torch import Tensor

from cosgrad.spec import Face
from cosgrad.torch._rule import is_distributed


class DimError(ValueError, IndexError):
    """A dim that the tensors do not have."""


class ShapeError(ValueError, RuntimeError):
    """Shapes or devices that do not go together."""


class DtypeError(TypeError, RuntimeError):
    """A dtype or layout that is not served."""


FACE = Face("dim", "tensor", DimError, ShapeError, DtypeError)
FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
FLOAT_NAMES = "torch.float16, torch.bfloat16, torch.float32 or torch.float64"


def check_tensor(name: str, x: object) -> None:
    """Refuse what is not a dense tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {type(x).__name__}, must be a tensor")
    if x.layout is not torch.strided:
        raise DtypeError(f"{name} has layout {x.layout}, must be {torch.strided}: pass {name}.to_dense()")


def promote(names: tuple[str, str], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in their common dtype, which must be floating."""
    for name, t in zip(names, (x, y), strict=True):
        check_tensor(name, t)
        if t.dtype not in FLOATS and (t.is_complex() or t.is_floating_point() or t.is_quantized):
            raise FACE.refuse_dtype(name, t.dtype, f"real, that is {FLOAT_NAMES}")
    dtype = torch.promote_types(x.dtype, y.dtype)
    if dtype not in FLOATS:
        raise FACE.refuse_dtype(
            f"the promoted type of {' and '.join(names)}",
            dtype,
            f"floating in at least one, that is {FLOAT_NAMES}",
        )
    return x.to(dtype), y.to(dtype)


def check_device(names: tuple[str, str], x: Tensor, y: Tensor) -> None:
    """Refuse tensors of two devices."""
    if x.device != y.device:
        raise ShapeError(f"{names[0]} on {x.device} and {names[1]} on {y.device} must be on one device")
    if not torch.compiler.is_compiling() and is_distributed(x) != is_distributed(y):
        (distributed, _), (name, plain) = sorted(zip(names, (x, y), strict=True), key=_is_plain)
        if plain.dim():  # a number is the same on every rank
            raise refuse_plain(name, plain, distributed)


def refuse_plain(name: str, t: Tensor, distributed: str) -> ShapeError:
    """Return the error of a plain tensor beside a DTensor: it could be the whole or a part."""
    return ShapeError(
        f"{name} is a plain tensor of shape {tuple(t.shape)} and {distributed} is a DTensor: "
        f"make {name} a DTensor, by distribute_tensor or DTensor.from_local"
    )


def _is_plain(named: tuple[str, Tensor]) -> bool:
    return not is_distributed(named[1])


def pair(names: tuple[str, str], x: Tensor, y: Tensor, dim: int) -> tuple[Tensor, Tensor, int]:
    """Return both of one dtype and rank, and the axis.

    Only views and conversions of dtype are made; scalars become vectors of length 1.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype is y.dtype and x.dtype in FLOATS):
        x, y = promote(names, x, y)
    if x.layout is not torch.strided or y.layout is not torch.strided:
        check_tensor(names[0], x)
        check_tensor(names[1], y)
    if type(x) is not type(y) or not (x.is_cpu and y.is_cpu):
        check_device(names, x, y)
    shape: tuple[int, ...] = x.shape
    if shape == y.shape:
        axis = FACE.check_axis(dim, len(shape))
        return (x, y, axis) if shape else (x.unsqueeze(0), y.unsqueeze(0), axis)
    shape = FACE.check_broadcast(names[0], tuple(x.shape), names[1], tuple(y.shape))
    axis = FACE.check_axis(dim, len(shape))
    return _align(x, len(shape)), _align(y, len(shape)), axis


def _align(x: Tensor, rank: int) -> Tensor:
    return x[(None,) * (rank - x.dim())] if x.dim() < rank else x

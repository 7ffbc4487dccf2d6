"""PyTorch's conventions for arguments: the words of messages, the promotion of dtypes, the error classes."""

import torch
from torch import Tensor

from cosgrad import spec
from cosgrad.spec import Frontend
from cosgrad.torch._ops import HAS_FLOAT64
from cosgrad.torch._rule import is_distributed


class DimError(ValueError, IndexError):
    """A dim that the tensors do not have."""


class ShapeError(ValueError, RuntimeError):
    """Shapes, devices or values that do not fit together."""


class DtypeError(TypeError, RuntimeError):
    """A dtype or layout that is not supported."""


FRONTEND = Frontend("dim", "tensor", DimError, ShapeError, DtypeError)
FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
FLOAT_NAMES = "torch.float16, torch.bfloat16, torch.float32 or torch.float64"


def check_eps(eps: float) -> float:
    """Return eps as a float, or raise an error that is also a `RuntimeError`, like PyTorch's error."""
    try:
        return spec.check_eps(eps)
    except ValueError as error:
        raise ShapeError(str(error)) from None


def refuse_dtype(name: str, x: Tensor, takes: str) -> TypeError:
    """Return the error for a tensor of an unsupported dtype. The message has a conversion if there is one."""
    cure = ""
    if x.is_quantized:
        cure = f"; {name}.dequantize() converts it"
    elif str(x.dtype).startswith("torch.float8"):
        cure = f"; {name}.to(torch.bfloat16) converts it exactly"
    return FRONTEND.refuse_dtype(name, x.dtype, f"{takes}, that is {FLOAT_NAMES}{cure}")


def resolved(x: Tensor) -> Tensor:
    """Return x without a delayed negation, because PyTorch's forward mode fails on such views."""
    if torch.compiler.is_compiling():  # Dynamo cannot trace `is_neg` in forward mode
        return x
    return x.resolve_neg() if x.is_neg() else x


def check_tensor(name: str, x: object) -> None:
    """Raise an error if x is not a dense tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {type(x).__name__}, must be a tensor")
    if x.is_nested:
        raise DtypeError(
            f"{name} is a nested tensor, must be dense: torch.nested.to_padded_tensor({name}, 0.0) pads it, "
            f"{name}.unbind() gives its parts"
        )
    if x.layout is not torch.strided:
        raise DtypeError(
            f"{name} has layout {x.layout}, must be {torch.strided}: {name}.to_dense() converts it"
        )


def promote(names: tuple[str, str], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in the dtype to compute in, after a check that their promoted dtype is floating.

    This is the promoted dtype if both are floating. The promoted dtype may be too narrow for the numbers of
    an integer operand. So here integers of 16 bits count as float32, and wider integers as float64.
    `as_promoted` converts results to the promoted dtype.
    """
    for name, t in zip(names, (x, y), strict=True):
        check_tensor(name, t)
        if t.dtype not in FLOATS and (t.is_complex() or t.is_floating_point() or t.is_quantized):
            raise refuse_dtype(name, t, "real")
    dtype = torch.promote_types(x.dtype, y.dtype)
    if dtype not in FLOATS:
        raise FRONTEND.refuse_dtype(
            f"the promoted type of {' and '.join(names)}",
            dtype,
            f"floating in at least one, that is {FLOAT_NAMES}",
        )
    for t in (x, y):
        if (holds := _holding(t)) is not None:
            dtype = torch.promote_types(dtype, holds)
    return x.to(dtype), y.to(dtype)


def _holding(t: Tensor) -> torch.dtype | None:
    """Return the float dtype that the numbers of an integer tensor need, or None if any dtype is enough."""
    if t.is_floating_point() or t.element_size() == 1:
        return None
    wide = t.element_size() > 2 and t.device.type in HAS_FLOAT64
    return torch.float64 if wide else torch.float32


def as_promoted(result: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a result, converted to the promoted dtype of the arguments."""
    return result if x.dtype is y.dtype else result.to(torch.promote_types(x.dtype, y.dtype))


def check_device(names: tuple[str, str], x: Tensor, y: Tensor) -> None:
    """Raise an error for tensors of two devices, or for a plain tensor beside a DTensor."""
    if x.device != y.device:
        raise ShapeError(f"{names[0]} on {x.device} and {names[1]} on {y.device} must be on one device")
    if not torch.compiler.is_compiling() and is_distributed(x) != is_distributed(y):
        (distributed, _), (name, plain) = sorted(zip(names, (x, y), strict=True), key=_is_plain)
        if plain.dim():  # a number is the same on every rank
            raise refuse_plain(name, plain, distributed)


def refuse_plain(name: str, t: Tensor, distributed: str) -> ShapeError:
    """Return the error for a plain tensor beside a DTensor. It could be the whole tensor or one shard."""
    return ShapeError(
        f"{name} is a plain tensor of shape {tuple(t.shape)} and {distributed} is a DTensor: "
        f"make {name} a DTensor, by distribute_tensor or DTensor.from_local"
    )


def _is_plain(named: tuple[str, Tensor]) -> bool:
    return not is_distributed(named[1])


def pair(names: tuple[str, str], x: Tensor, y: Tensor, dim: int) -> tuple[Tensor, Tensor, int]:
    """Return both tensors with equal dtype and rank, and the axis.

    The function makes only views and conversions of the dtype. Scalars become vectors of length 1.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype is y.dtype and x.dtype in FLOATS):
        x, y = promote(names, x, y)
    if x.layout is not torch.strided or y.layout is not torch.strided or x.is_nested or y.is_nested:
        check_tensor(names[0], x)
        check_tensor(names[1], y)
    if type(x) is not type(y) or not (x.is_cpu and y.is_cpu):
        check_device(names, x, y)
    x, y = resolved(x), resolved(y)
    shape: tuple[int, ...] = x.shape
    if shape == y.shape:
        axis = FRONTEND.check_axis(dim, len(shape))
        return (x, y, axis) if shape else (x.unsqueeze(0), y.unsqueeze(0), axis)
    shape = FRONTEND.check_broadcast(names[0], tuple(x.shape), names[1], tuple(y.shape))
    axis = FRONTEND.check_axis(dim, len(shape))
    return _align(x, len(shape)), _align(y, len(shape)), axis


def _align(x: Tensor, rank: int) -> Tensor:
    return x[(None,) * (rank - x.dim())] if x.dim() < rank else x

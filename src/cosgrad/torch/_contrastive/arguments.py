"""Checks and conversions of the arguments of the contrastive losses, except the matrices."""

import math

import torch
from torch import Tensor

from cosgrad.spec import check_finite, check_temperature
from cosgrad.torch._arguments import FLOATS, FRONTEND, DtypeError, ShapeError, check_device, check_tensor
from cosgrad.torch._contrastive.problem import Options, full_dtype
from cosgrad.torch._dtensor import replicated
from cosgrad.torch._numbers import as_tensor, in_graph
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import recorded, transformed, watched

GRADIENT_SCALES = ("mean", "sum")
Labels = tuple[Tensor | None, Tensor | None]
Arguments = tuple[Tensor, Tensor | None, Tensor, Tensor | None, Options]


def check_gradient_scale(gradient_scale: str) -> str:
    """Return the gradient scale, or raise an error if it is unknown."""
    if gradient_scale not in GRADIENT_SCALES:
        raise ValueError(
            f"gradient_scale={gradient_scale!r} must be one of {', '.join(map(repr, GRADIENT_SCALES))}"
        )
    return gradient_scale


def facts(
    x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options
) -> dict[str, float]:
    """Return numbers that describe a call. All but the first, the block size, must be equal on all ranks."""
    return {
        "columns": (x if y is None else y).shape[0],
        "ignored columns": -1 if options.ignore is None else options.ignore.shape[1],
        "length of the vectors": x.shape[1],
        "index of the dtype": sorted(map(str, FLOATS)).index(str(x.dtype)),
        "loss": (y is None) + 2 * (bias is not None),
        "symmetric": options.symmetric,
        "labels": options.labels_x is not None,
        "scale (1 / temperature)": scale.item(),
        "bias": 0.0 if bias is None else bias.item(),
        "needed derivatives": sum(recorded(t) << i for i, t in enumerate((x, y, scale, bias))),
    }


def check_labels_of(name: str, labels: Tensor, of: str, x: Tensor) -> Tensor:
    """Return the labels, or raise an error if they are not one integer for each row of x."""
    check_tensor(name, labels)
    if labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise DtypeError(f"{name} is of dtype {labels.dtype}, must be integers or booleans")
    FRONTEND.check_shape(name, tuple(labels.shape), (x.shape[0],))
    check_device((name, of), labels, x)
    return labels


def same_integers(labels_x: Tensor, labels_y: Tensor) -> Labels:
    """Return labels in dtypes that PyTorch can compare. PyTorch does not compare all unsigned integers.

    The conversion of uint64 to int64 keeps different labels different. It may make a label of uint64 equal to
    a label of a signed dtype, so uint64 together with another dtype raises an error.
    """
    dtypes = {labels_x.dtype, labels_y.dtype}
    if torch.uint64 in dtypes and len(dtypes) > 1:
        raise DtypeError(
            f"labels_x is of dtype {labels_x.dtype} and labels_y of dtype {labels_y.dtype}, "
            "must be of one dtype where one is torch.uint64"
        )
    if dtypes & {torch.uint16, torch.uint32, torch.uint64}:
        return labels_x.to(torch.int64), labels_y.to(torch.int64)
    return labels_x, labels_y


def check_ignore(ignore: Tensor, x: Tensor, columns: int | None) -> None:
    """Raise an error unless `ignore` is a mask of all pairs.

    With a group, `columns` is None, and `agreed` checks the number of columns later.
    """
    check_tensor("ignore", ignore)
    if ignore.dtype is not torch.bool:
        raise DtypeError(f"ignore is of dtype {ignore.dtype}, must be torch.bool")
    FRONTEND.check_rows("ignore", tuple(ignore.shape))
    takes = (x.shape[0], ignore.shape[1] if columns is None else columns)
    FRONTEND.check_shape("ignore", tuple(ignore.shape), takes)
    check_device(("ignore", "x"), ignore, x)


def reciprocal_of(temperature: float | Tensor, like: Tensor) -> Tensor:
    """Return 1 / temperature, in the form that `scalar` returns."""
    t = scalar("temperature", temperature, like)
    if not isinstance(temperature, Tensor) and not in_graph(temperature):
        check_temperature(float(temperature))
    elif _visible(t):
        check_temperature(t.item())
    return _reciprocal(t)


def _reciprocal(t: Tensor) -> Tensor:
    """Return 1 / t. A t below 4.1e-289 (in float64) is replaced by this bound, so that sums are finite.

    The derivative is computed through the logarithm of t. So 0 times the derivative is 0, also if 1 / t^2
    overflows.
    """
    known = t.detach()
    most = known.clamp(min=torch.finfo(t.dtype).tiny * 2.0**64).reciprocal()
    return most * (known.log() - t.log()).exp()


def scalar(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """Return a finite number as a tensor of rank 0 and the widest dtype, differentiable if it was a tensor.

    A number is always checked. A tensor is checked here if its value can be read. Otherwise the operator
    checks it when it runs.
    """
    wide = OPS.widen(like.new_empty(0, dtype=full_dtype(like)))
    if in_graph(value):
        value = torch.as_tensor(value, device="cpu")
    if not isinstance(value, Tensor):
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name}={value!r} must be a number or a tensor of one element") from None
        except OverflowError:
            value = math.inf  # an integer beyond float64, which is refused as infinite
        return as_tensor(check_finite(name, value), wide)
    if value.numel() != 1 or value.is_complex():
        raise ShapeError(
            f"{name} of shape {tuple(value.shape)} and dtype {value.dtype} must be one real number"
        )
    t: Tensor = replicated(value.reshape(()).to(wide.dtype), like).to(wide)
    if _visible(t):
        check_finite(name, t.item())
    return t


def _visible(t: Tensor) -> bool:
    return not (watched(t) or transformed())

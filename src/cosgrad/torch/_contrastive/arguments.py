"""What the contrastive losses take, beside the matrices."""

import math

import torch
from torch import Tensor

from cosgrad.spec import check_temperature
from cosgrad.torch._arguments import FACE, FLOATS, DtypeError, ShapeError, check_device, check_tensor
from cosgrad.torch._array import OPS
from cosgrad.torch._contrastive.problem import Options, full_dtype
from cosgrad.torch._rule import recorded, transformed, watched

GRADIENT_SCALES = ("mean", "sum")
Arguments = tuple[Tensor, Tensor | None, Tensor, Tensor | None, Options]


def check_gradient_scale(gradient_scale: str) -> str:
    """Return the gradient scale if there is such a one."""
    if gradient_scale not in GRADIENT_SCALES:
        raise ValueError(
            f"gradient_scale={gradient_scale!r} must be one of {', '.join(map(repr, GRADIENT_SCALES))}"
        )
    return gradient_scale


def facts(
    x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options
) -> dict[str, float]:
    """Return in numbers what all ranks must have in common, but for the first: the size of their blocks."""
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


def check_labels_of(name: str, labels: Tensor, of: str, x: Tensor) -> None:
    """Refuse what is not one label for each row of x."""
    check_tensor(name, labels)
    if labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise DtypeError(f"{name} is of dtype {labels.dtype}, must be integers or booleans")
    FACE.check_shape(name, tuple(labels.shape), (x.shape[0],))
    check_device((name, of), labels, x)


def check_ignore(ignore: Tensor, x: Tensor, columns: int | None) -> None:
    """Refuse what is no mask of all pairs; over a group their number is known later."""
    check_tensor("ignore", ignore)
    if ignore.dtype is not torch.bool:
        raise DtypeError(f"ignore is of dtype {ignore.dtype}, must be torch.bool")
    FACE.check_rows("ignore", tuple(ignore.shape))
    takes = (x.shape[0], ignore.shape[1] if columns is None else columns)
    FACE.check_shape("ignore", tuple(ignore.shape), takes)
    check_device(("ignore", "x"), ignore, x)


def reciprocal_of(temperature: float | Tensor, like: Tensor) -> Tensor:
    """Return 1 / temperature as `scalar` does."""
    t = scalar("temperature", temperature, like)
    if _visible(t):
        check_temperature(t.item())
    return t.reciprocal()


def scalar(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """Return a finite number in rank 0 and the widest dtype, differentiable if it was a tensor."""
    wide = OPS.widen(like.new_empty(0, dtype=full_dtype(like)))
    if not isinstance(value, Tensor):
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name}={value!r} must be a number or a tensor of one element") from None
        t = wide.new_full((), value)
    elif value.numel() != 1 or value.is_complex():
        raise ShapeError(
            f"{name} of shape {tuple(value.shape)} and dtype {value.dtype} must be one real number"
        )
    else:
        t = value.reshape(()).to(wide)
    if _visible(t) and not math.isfinite(t.item()):
        raise ValueError(f"{name}={t.item()} must be finite")
    return t


def _visible(t: Tensor) -> bool:
    return not (watched(t) or transformed())

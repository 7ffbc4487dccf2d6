"""Conversions of integer arguments (targets of the embedding loss, weights), and the check of targets."""

import torch
from torch import Tensor

from cosgrad import spec
from cosgrad.torch._arguments import FRONTEND, check_tensor
from cosgrad.torch._rule import is_distributed

_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)


def comparable(t: Tensor) -> Tensor:
    """Return a tensor in a dtype that PyTorch can compare with -1: unsigned integers become signed.

    Only uint64 has values outside the range of int64. It becomes float64, in which these values still differ
    from 0, 1 and -1.
    """
    if t.dtype in _UNSIGNED:
        return t.to(torch.float64 if t.dtype is torch.uint64 else torch.int64)
    return t


def as_target(target: Tensor) -> Tensor:
    """Return the target in a dtype that has -1, so that no unsigned number compares equal to -1."""
    check_tensor("target", target)
    if target.dtype is torch.bool:
        raise FRONTEND.refuse_dtype("target", target.dtype, "of numbers: torch.where(target, 1, -1)")
    if target.is_complex() or target.is_quantized:
        raise FRONTEND.refuse_dtype("target", target.dtype, "real, +1 and -1")
    if target.is_floating_point() and target.dtype.itemsize == 1:
        return target.to(torch.float32)
    return comparable(target)


def check_target(target: Tensor) -> None:
    """Raise an error if a target has other values than +1 and -1."""
    t = as_target(target)
    wrong = (t != 1) & (t != -1)
    if wrong.any():
        if is_distributed(target):
            target, wrong = (t.full_tensor() for t in (target, wrong))  # type: ignore[attr-defined]  # a DTensor
        unsigned = str(target.dtype) if target.dtype in _UNSIGNED else None
        raise spec.refuse_target(target[wrong][0].item(), unsigned)

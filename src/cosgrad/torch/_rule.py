"""Rules, quickly, and the state of PyTorch that decides who computes."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cosgrad.closed import Rule


class Function(torch.autograd.Function):
    """`torch.autograd.Function`, whose `apply` has no types of its own."""

    if TYPE_CHECKING:

        @classmethod
        def apply(cls, *args: Any, **kwargs: Any) -> Any:
            """Run the forward."""


@lru_cache
def rule(axis: int, eps: float, what: str, skip_zero: bool = False) -> Rule:
    """Return the rule; to make one takes as long as to look up twenty."""
    return Rule(axis, eps, what, skip_zero)


keys = torch._C._dispatch_keys
modes = torch._C._len_torch_dispatch_stack
tracing = torch._C._get_tracing_state


def _plain_keys() -> frozenset[int]:
    with torch.inference_mode():
        inference = torch.empty(0)
    return frozenset(keys(t).raw_repr() for t in (torch.empty(0), inference))


_PLAIN = _plain_keys()


def plain(*tensors: Tensor | None) -> bool:
    """Tell whether all tensors are nothing but CPU memory with strides, and nobody wants to see operators.

    The dispatch keys of a tensor say all at once: its device and layout, a negation put off, zeros without
    memory, a wrapper of `torch.func` or `is_grads_batched`, a subclass that sees operators. Operators are
    also seen by dispatch modes (fake tensors, counters) and by tracers.
    """
    for t in tensors:
        if t is not None and keys(t).raw_repr() not in _PLAIN:
            return False
    return not modes() and tracing() is None


def transformed() -> bool:
    """Tell whether a `torch.func` transform or a level of forward mode is active."""
    return forward_ad._current_level >= 0 or bool(torch._C._are_functorch_transforms_active())


def bound_for_onnx() -> bool:
    """Tell whether a graph is being translated to ONNX, which knows neither our operators nor `frexp`."""
    return "torch.onnx" in sys.modules and torch.onnx.is_in_onnx_export()


def dissolves(*tensors: Tensor) -> bool:
    """Tell whether an operator is to become plain operations, which every transform understands.

    A compiler enters a level of forward mode behind Python's back, so the tensors have to be asked
    themselves.
    """
    if transformed() or bound_for_onnx():
        return True
    return any(torch._unpack_dual(t, level=0).tangent is not None for t in tensors)


def traced() -> bool:
    """Tell whether a compiler or tracer is writing down operators."""
    return torch.compiler.is_compiling() or tracing() is not None


def intercepted() -> bool:
    """Tell whether a dispatch mode sees operators."""
    return bool(modes())


def subclassed(t: Tensor) -> bool:
    """Tell whether t belongs to a subclass that sees operators, such as a DTensor."""
    return bool(keys(t).has(torch._C.DispatchKey.Python))


def is_distributed(t: object) -> bool:
    """Tell whether t is a DTensor."""
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(t, module.DTensor)


def batched(t: Tensor | None) -> bool:
    """Tell whether autograd has put many cotangents or tangents in the place of one (`is_grads_batched`)."""
    return t is not None and torch._C._functorch.is_legacy_batchedtensor(t)


def recorded(*tensors: Tensor | None) -> bool:
    """Tell whether autograd wants to know what happens to any of the tensors."""
    if torch.is_grad_enabled():
        for t in tensors:
            if t is not None and t.requires_grad:
                return True
    return False

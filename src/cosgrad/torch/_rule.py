"""A cache of rules, and the state of PyTorch that decides which implementation computes."""

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cosgrad.closed import Rule


class Function(torch.autograd.Function):
    """`torch.autograd.Function` with a type annotation for `apply`."""

    if TYPE_CHECKING:

        @classmethod
        def apply(cls, *args: Any, **kwargs: Any) -> Any:
            """Run the forward pass."""


@lru_cache
def rule(axis: int, eps: float, what: str, skip_zero: bool = False) -> Rule:
    """Return the rule from a cache. Making a rule takes as long as twenty look-ups."""
    return Rule(axis, eps, what, skip_zero)


keys = torch._C._dispatch_keys
modes = torch._C._len_torch_dispatch_stack
tracing = torch._C._get_tracing_state


def _plain_keys() -> frozenset[int]:
    """Return the dispatch keys of an ordinary CPU tensor and of one made in inference mode.

    They are built from PyTorch's constants. A tensor made here would have the keys of the default device, the
    modes and the transforms that are active while this module is imported.
    """
    key = torch._C.DispatchKey
    inference = torch._C.DispatchKeySet(key.CPU) | torch._C.DispatchKeySet(key.AutocastCPU)
    ordinary = inference | torch._C.DispatchKeySet(key.AutogradCPU)
    ordinary = ordinary | torch._C.DispatchKeySet(key.ADInplaceOrView)
    return frozenset((ordinary.raw_repr(), inference.raw_repr()))


_PLAIN = _plain_keys()
_PYTHON = torch._C.DispatchKey.Python
_VMAP = torch._C._functorch.TransformType.Vmap
_FUNCTIONALIZE = torch._C._functorch.TransformType.Functionalize


def plain(*tensors: Tensor | None) -> bool:
    """Return whether all tensors are ordinary strided CPU memory, and nothing intercepts operators.

    The dispatch keys of a tensor describe its device and layout, a delayed negation, zeros without memory, a
    wrapper of `torch.func` or `is_grads_batched`, and a subclass that intercepts operators. Dispatch modes
    (fake tensors, counters) and tracers also intercept operators.
    """
    for t in tensors:
        if t is not None and keys(t).raw_repr() not in _PLAIN:
            return False
    return not modes() and tracing() is None


def fake_mode(*arguments: object) -> Any:
    """Return the mode of the first fake tensor if no such mode is active, else None."""
    fake = sys.modules.get("torch._subclasses.fake_tensor")
    if fake is not None:
        for t in arguments:
            if isinstance(t, fake.FakeTensor):
                active = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
                return t.fake_mode if active is None else None
    return None


def kept(*tensors: Any) -> list[Any]:
    """Return the tensors in a form that autograd can save for the backward pass.

    Autograd refuses to save a tensor that was made in inference mode. A copy made outside that mode can be
    saved, and later changes of the original do not change it.
    """
    if torch.compiler.is_compiling():  # Dynamo cannot trace `is_inference` in forward mode
        return list(tensors)
    return [
        t.clone() if t is not None and t.is_inference() and not torch.is_inference_mode_enabled() else t
        for t in tensors
    ]


def watched(*tensors: Tensor | None) -> bool:
    """Return whether something may intercept an operator, or a tensor may have no values.

    This is true under a tracer or a dispatch mode, on the meta device, and for subclasses with
    `__torch_dispatch__`, for example fake tensors.
    """
    if traced() or intercepted():
        return True
    return any(t is not None and (t.is_meta or keys(t).has(_PYTHON)) for t in tensors)


def functionalized() -> bool:
    """Return whether `torch.func.functionalize` is active. It does not support an `autograd.Function`."""
    stack = torch._C._functorch.get_interpreter_stack()
    return stack is not None and any(level.key() == _FUNCTIONALIZE for level in stack)


def refuse_empty_vmap() -> None:
    """Raise an error for a loss under `torch.func.vmap` over an axis of length 0.

    The reason is that PyTorch cannot combine a tensor of rank 0 with a number there.
    """
    if torch.compiler.is_compiling() or not transformed():
        return
    for level in torch._C._functorch.get_interpreter_stack() or ():
        if level.key() == _VMAP and torch._C._functorch.CVmapInterpreterPtr(level).batchSize() == 0:
            raise RuntimeError(
                "torch.func.vmap of a loss over an axis of length 0 is not supported by PyTorch: "
                "skip the empty batch"
            )


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast. Some devices, such as meta, do not support autocast at all."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def transformed() -> bool:
    """Return whether a `torch.func` transform or a level of forward mode is active."""
    return forward_ad._current_level >= 0 or bool(torch._C._are_functorch_transforms_active())


def bound_for_onnx() -> bool:
    """Return whether a graph is being exported to ONNX, which has neither our operators nor `frexp`."""
    return "torch.onnx" in sys.modules and torch.onnx.is_in_onnx_export()


def dissolves(*tensors: Tensor) -> bool:
    """Return whether an operator must be replaced by plain operations, which every transform supports.

    The tensors are checked for tangents, because a compiler enters a level of forward mode without changing
    the state that Python can read.
    """
    if transformed() or bound_for_onnx():
        return True
    return any(torch._unpack_dual(t, level=0).tangent is not None for t in tensors)


def traced() -> bool:
    """Return whether a compiler or tracer is recording operators."""
    return torch.compiler.is_compiling() or tracing() is not None


def intercepted() -> bool:
    """Return whether a dispatch mode intercepts operators."""
    return bool(modes())


def subclassed(t: Tensor) -> bool:
    """Return whether t belongs to a subclass that intercepts operators, such as a DTensor."""
    return bool(keys(t).has(torch._C.DispatchKey.Python))


def is_distributed(t: object) -> bool:
    """Return whether t is a DTensor."""
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(t, module.DTensor)


def batched(t: Tensor | None) -> bool:
    """Return whether t is a batch of cotangents or tangents that autograd made (`is_grads_batched`)."""
    return t is not None and torch._C._functorch.is_legacy_batchedtensor(t)


def recorded(*tensors: Tensor | None) -> bool:
    """Return whether autograd records operations on any of the tensors."""
    if torch.is_grad_enabled():
        for t in tensors:
            if t is not None and t.requires_grad:
                return True
    return False

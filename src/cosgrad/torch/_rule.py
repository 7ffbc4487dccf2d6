"""Rules, quickly, and the state of PyTorch that decides who computes."""

import sys
from contextlib import AbstractContextManager, nullcontext
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
    """Return the dispatch keys of an ordinary CPU tensor and of one made in inference mode.

    They are built from PyTorch's constants. A tensor made here would show the default device, the modes and
    the transforms that are active while this module is imported.
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
    """Tell whether all tensors are nothing but CPU memory with strides, and nobody wants to see operators.

    The dispatch keys of a tensor say all at once: its device and layout, a negation put off, zeros without
    memory, a wrapper of `torch.func` or `is_grads_batched`, a subclass that sees operators. Operators are
    also seen by dispatch modes (fake tensors, counters) and by tracers.
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
    """Return the tensors in a form that autograd saves for a backward.

    Autograd refuses to save a tensor that was made in inference mode. A copy made outside that mode can be
    saved, and later changes of the original do not reach it.
    """
    if torch.compiler.is_compiling():  # Dynamo cannot trace `is_inference` in forward mode
        return list(tensors)
    return [
        t.clone() if t is not None and t.is_inference() and not torch.is_inference_mode_enabled() else t
        for t in tensors
    ]


def watched(*tensors: Tensor | None) -> bool:
    """Tell whether anything but the kernel may have to see an operator, or a tensor may have no values.

    This holds under a tracer or a dispatch mode, on the meta device, and for subclasses with
    `__torch_dispatch__` (fake tensors are of this kind).
    """
    if traced() or intercepted():
        return True
    return any(t is not None and (t.is_meta or keys(t).has(_PYTHON)) for t in tensors)


def functionalized() -> bool:
    """Tell whether `torch.func.functionalize` is active: it has no rule for an `autograd.Function`."""
    stack = torch._C._functorch.get_interpreter_stack()
    return stack is not None and any(level.key() == _FUNCTIONALIZE for level in stack)


def refuse_empty_vmap() -> None:
    """Refuse a loss under `torch.func.vmap` over an axis of length 0.

    There PyTorch fails to combine a tensor of rank 0 with a number.
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
    """Return a context without autocast. Some devices (meta is one) have no autocast to switch off."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


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

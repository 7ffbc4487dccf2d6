"""Learned numbers in parameters of shape (1,), and the exponential of those learned by their logarithm."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from cosgrad.torch._contrastive.problem import full_dtype
from cosgrad.torch._rule import Function, transformed, watched
from cosgrad.torch._rules import forward_grad, primals


class ScalarModule(Module):
    """A module whose own parameters are numbers. They have shape (1,), because FSDP does not support ()."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load a state dict. Numbers of shape (), which older versions saved, are reshaped."""
        for name in self._parameters:
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and value.dim() == 0:
                state_dict[prefix + name] = value.reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def parameter(value: float) -> Parameter:
    """Return a parameter that holds a number."""
    return Parameter(torch.tensor([float(value)]))


def number(value: float | Tensor) -> float | Tensor:
    """Return a number, or the number in a parameter as a tensor of shape ().

    A parameter that FSDP has sharded is gathered, so all ranks have to call this function.
    """
    if not isinstance(value, Tensor):
        return value
    t: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    if t.numel() != 1:
        raise RuntimeError(
            f"a learned number is in a parameter of shape {tuple(t.shape)} on this rank: FSDP has "
            "sharded it; ask for it in the forward, or in FullyShardedDataParallel.summon_full_params"
        )
    return t.reshape(())


def exp(logarithm: Tensor, least: float = 0.0) -> Tensor:
    """Return the exponential, a tensor of shape () clamped to [least, largest finite number].

    Beyond a bound, the gradient is the gradient at the bound if a descent step leads back to the range.
    Otherwise it is 0.
    """
    t = number(logarithm)
    assert isinstance(t, Tensor)
    return _bounded_exp(t.to(full_dtype(t)), least)


def shown(value: float | Tensor) -> str:
    """Return a number with four digits, or a question mark if its value cannot be read on this rank."""
    if isinstance(value, Tensor):
        if watched(value) or value.numel() != 1:
            return "?"
        value = value.item()
    return f"{value:.4g}"


def _bounded_exp(x: Tensor, least: float) -> Tensor:
    rule = _TransformedBoundedExp if transformed() else _BoundedExp
    result: Tensor = rule.apply(x, least)
    return result


class _BoundedExp(Function):
    """exp(x) clamped to [least, largest number]. Beyond a bound, only gradients that lead back are kept."""

    @staticmethod
    def forward(x: Tensor, least: float) -> Tensor:
        """Return the value. `setup_context` saves the input."""
        return _value(x, least)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x for the backward pass."""
        x, ctx.least = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the gradient, or 0 if a descent step would lead further out of the range."""
        (x,) = ctx.saved_tensors
        below, above = _outside(x, ctx.least)
        out = (below & (g > 0)) | (above & (g < 0))
        again = torch.is_grad_enabled() or transformed()
        slope = _bounded_exp(x, ctx.least) if again else _value(x, ctx.least)
        return torch.where(out, 0, g * slope), None


class _TransformedBoundedExp(_BoundedExp):
    """`_BoundedExp` under `torch.func` and in forward mode.

    It is a separate class because compilers do not support a function with a `jvp`.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x for reverse and forward mode."""
        x, ctx.least = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def jvp(ctx: Any, u: Tensor, _: None) -> Any:
        """Return the tangent. Beyond a bound it is 0."""
        with forward_grad():
            (x,) = primals(ctx)
            below, above = _outside(x, ctx.least)
            return torch.where(below | above, 0, u * _bounded_exp(x, ctx.least))


def _value(x: Tensor, least: float) -> Tensor:
    return x.exp().clamp(least, torch.finfo(x.dtype).max)


def _outside(x: Tensor, least: float) -> tuple[Tensor, Tensor]:
    t = x.detach().exp()
    return t < least, t > torch.finfo(t.dtype).max

"""Numbers above 0 that a module learns by their logarithms, in parameters of shape (1,)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from cosgrad.torch._contrastive.problem import full_dtype
from cosgrad.torch._rule import Function, transformed, watched
from cosgrad.torch._rules import forward_grad, primals


class ScalarModule(Module):
    """A module whose own parameters are numbers, of shape (1,): FSDP takes none of shape ()."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load numbers of shape () as well, which older versions saved."""
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

    A parameter that FSDP has sharded is gathered: all ranks have to ask for it.
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
    """Return the number of shape () that has this logarithm, at least `least` and finite.

    Beyond a bound the gradient is that at the bound if a step against it leads back, and else 0.
    """
    t = number(logarithm)
    assert isinstance(t, Tensor)
    return _bounded_exp(t.to(full_dtype(t)), least)


def shown(value: float | Tensor) -> str:
    """Return a number in few digits, or a question mark where it is not on this device and rank."""
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
    """exp(x) within [least, largest number], whose gradient beyond a bound can only lead back."""

    @staticmethod
    def forward(x: Tensor, least: float) -> Tensor:
        """Compute only."""
        return _value(x, least)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep x for both modes."""
        x, ctx.least = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the gradient, 0 where a step against it would lead further out."""
        (x,) = ctx.saved_tensors
        below, above = _outside(x, ctx.least)
        out = (below & (g > 0)) | (above & (g < 0))
        again = torch.is_grad_enabled() or transformed()
        slope = _bounded_exp(x, ctx.least) if again else _value(x, ctx.least)
        return torch.where(out, 0, g * slope), None


class _TransformedBoundedExp(_BoundedExp):
    """The same under `torch.func` and in forward mode. A compiler takes no function with a `jvp`."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep x for both modes."""
        x, ctx.least = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def jvp(ctx: Any, u: Tensor, _: None) -> Any:
        """Return the tangent, 0 beyond a bound."""
        with forward_grad():
            (x,) = primals(ctx)
            below, above = _outside(x, ctx.least)
            return torch.where(below | above, 0, u * _bounded_exp(x, ctx.least))


def _value(x: Tensor, least: float) -> Tensor:
    return x.exp().clamp(least, torch.finfo(x.dtype).max)


def _outside(x: Tensor, least: float) -> tuple[Tensor, Tensor]:
    t = x.detach().exp()
    return t < least, t > torch.finfo(t.dtype).max

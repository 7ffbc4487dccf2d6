"""Adapters of PyTorch: autograd, forward mode, vmap and compilation by PyTorch's own transforms."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosgrad.verify.adapters.base import (
    Function,
    NoGradientError,
    Output,
    Quantity,
    RaisedError,
    UnsupportedError,
    WrongResultError,
)
from cosgrad.verify.layouts import lay
from cosgrad.verify.ulp import Array

# the C++ compilers that PyTorch's own compiler calls
COMPILERS = ("c++", "g++", "clang++")
_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def _array(t: Tensor) -> Array:
    return np.asarray(t.detach().to(torch.float64).contiguous().numpy()).copy()


def _or_zeros(grads: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if grad is None else grad for grad, t in zip(grads, like, strict=True)]


class TorchFunction(Function):
    """A user's function of two tensors."""

    framework = "torch"

    def dtypes(self) -> tuple[str, ...]:
        """Return the four dtypes."""
        return tuple(_DTYPES)

    def tensor(self, a: Array, dtype: str, layout: str | None = None) -> Tensor:
        """Return a tensor of this dtype with this memory layout."""
        if layout is None:
            return torch.from_numpy(a.copy()).to(_DTYPES[dtype])
        lie = lay(a, layout, dtype)
        if any(s < 0 for s in lie.strides):
            raise UnsupportedError("PyTorch has no negative strides")
        return (
            torch.from_numpy(lie.buffer.copy())
            .to(_DTYPES[dtype])
            .as_strided(lie.shape, lie.strides, lie.offset)
        )

    def _call(self, x: Tensor, y: Tensor) -> Tensor:
        with self.guarded():
            s = self.function(x, y)
        if not isinstance(s, Tensor):
            raise WrongResultError(f"returned {type(s).__name__}, expected a tensor")
        self.check_shape(tuple(s.shape), tuple(x.shape))
        return s

    def _rows(self, x: Tensor, y: Tensor) -> Tensor:
        if self.signature == "rows":
            return self._call(x, y)
        return torch.stack([self._one(a, b) for a, b in zip(x, y, strict=True)])

    def _one(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the number for two vectors."""
        match self.signature:
            case "rows":
                return self._call(x[None], y[None])[0]
            case "vectors":
                return self._call(x, y)
            case "columns":
                return self._call(x[:, None], y[:, None])[0, 0]

    def value(self, x: Array, y: Array, dtype: str, layout: str | None = None) -> Output:
        """Call the function on rows, without a graph."""
        a, b = self.tensor(x, dtype, layout), self.tensor(y, dtype, layout)
        before = _array(a), _array(b)
        with torch.no_grad():
            s = self._rows(a, b)
        mutated = not (
            np.array_equal(_array(a), before[0], True) and np.array_equal(_array(b), before[1], True)
        )
        return Output(_array(s), str(s.dtype).removeprefix("torch."), mutated)

    def _first(self, s: Tensor, inputs: Sequence[Tensor], g: Tensor, graph: bool = False) -> list[Tensor]:
        if not s.requires_grad:
            raise NoGradientError(
                "the graph is cut: the result requires no gradient though both arguments do"
            )
        with self.guarded():
            grads = torch.autograd.grad(s, inputs, g.to(s.dtype), create_graph=graph, allow_unused=True)
        return _or_zeros(grads, inputs)

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """Apply reverse mode."""
        a, b = (self.tensor(t, dtype, layout).requires_grad_() for t in (x, y))
        gx, gy = self._first(self._rows(a, b), (a, b), self.tensor(g, dtype))
        return _array(gx), _array(gy)

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """Apply forward mode with dual tensors, which also uses the `jvp` of an old `autograd.Function`."""
        a, b, du, dv = (self.tensor(t, dtype) for t in (x, y, u, v))
        with torch.autograd.forward_ad.dual_level(), self.guarded():
            dual: Any = torch.autograd.forward_ad.make_dual
            primal_and_tangent: Any = torch.autograd.forward_ad.unpack_dual
            s = self._rows(dual(a, du), dual(b, dv))
            tangent = primal_and_tangent(s).tangent
            return np.zeros(len(x)) if tangent is None else _array(tangent)

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """Apply reverse mode twice."""
        a, b, c = (self.tensor(t, dtype).requires_grad_() for t in (x, y, g))
        gx, gy = self._first(self._rows(a, b), (a, b), c, graph=True)
        z = (gx * self.tensor(u, dtype)).sum() + (gy * self.tensor(v, dtype)).sum()
        if not z.requires_grad:
            raise UnsupportedError("its gradient cannot be differentiated again")
        # `autograd.grad` visits only nodes that lead to the arguments. It would miss a `once_differentiable`.
        with self.guarded():
            z.backward()  # type: ignore[no-untyped-call]
        hx, hy, hg = _or_zeros([t.grad for t in (a, b, c)], (a, b, c))
        return _array(hx), _array(hy), _array(hg)

    def vmap(self, x: Array, y: Array, dtype: str) -> Array:
        """Apply `torch.func.vmap` over batches of rows, or over vectors."""
        a, b = self.tensor(x, dtype), self.tensor(y, dtype)
        with self.guarded():
            if self.signature == "rows" and len(x) % 3 == 0:
                shape = (3, len(x) // 3, x.shape[1])
                return _array(torch.func.vmap(self._call)(a.reshape(shape), b.reshape(shape))).reshape(-1)
            return _array(torch.func.vmap(self._one)(a, b))

    def vmap_gradient(self, x: Array, y: Array, dtype: str) -> tuple[Array, Array]:
        """Apply `torch.func.vmap` to `torch.func.grad`."""
        a, b = self.tensor(x, dtype), self.tensor(y, dtype)
        with self.guarded():
            gx, gy = torch.func.vmap(torch.func.grad(self._one, argnums=(0, 1)))(a, b)
        return _array(gx), _array(gy)

    def compiled(
        self, x: Array, y: Array, g: Array, dtype: str, whole: bool = False
    ) -> tuple[Array, Array, Array]:
        """Apply `torch.compile(fullgraph=True)`.

        The function is traced and differentiated ahead of time. With `whole`, it is also compiled.
        """
        if self.signature != "rows":
            raise UnsupportedError("asked of functions of rows")
        a, b = (self.tensor(t, dtype).requires_grad_() for t in (x, y))
        torch.compiler.reset()
        with self.guarded():
            backend = "inductor" if whole and any(map(shutil.which, COMPILERS)) else "aot_eager"
            s = torch.compile(self.function, fullgraph=True, backend=backend)(a, b)
        gx, gy = self._first(s, (a, b), self.tensor(g, dtype))
        return _array(s), _array(gx), _array(gy)

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Call `torch.set_num_threads`, inside the context."""
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class TorchFrontend(TorchFunction):
    """`cosgrad.torch` with eps = 0, over the last dimension."""

    def __init__(self, quantity: Quantity = "similarity", beat: Callable[[], None] = lambda: None) -> None:
        import cosgrad.torch as frontend

        self.frontend = frontend
        f = frontend.cosine_similarity if quantity == "similarity" else frontend.cosine_distance

        def function(x: Tensor, y: Tensor) -> Any:
            return f(x, y, dim=-1, eps=0.0)

        super().__init__(function, quantity, "rows", beat)

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Broadcast the arguments. Autograd sums the gradients over repeated rows."""
        a, b = self.tensor(x, dtype).requires_grad_(), self.tensor(y, dtype).requires_grad_()
        with self.guarded():
            s = self.function(a[:, None], b)
        gx, gy = self._first(s, (a, b), self.tensor(g, dtype))
        return _array(s), _array(gx), _array(gy)

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:
        """Call `normalize` and its VJP."""
        a = self.tensor(x, dtype).requires_grad_()
        with self.guarded():
            unit = self.frontend.normalize(a, dim=-1, eps=0.0)
        return _array(unit), _array(self._first(unit, [a], self.tensor(g, dtype))[0])

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """Call `cosine_distance_loss`."""
        w = None if weights is None else self.tensor(weights, dtype)
        with self.guarded():
            loss = self.frontend.cosine_distance_loss
            return float(
                loss(self.tensor(x, dtype), self.tensor(y, dtype), dim=-1, weights=w, reduction=reduction)
            )

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """Call `cosine_embedding_loss`."""
        a, b, t = self.tensor(x, dtype), self.tensor(y, dtype), torch.from_numpy(target.copy())
        with self.guarded():
            return _array(self.frontend.cosine_embedding_loss(a, b, t, margin=margin, reduction="none"))


def prepare(target: Any) -> Any:
    """Return the callable of a target: `apply` of an `autograd.Function`, an instance of a module class."""
    if isinstance(target, type) and issubclass(target, torch.autograd.Function):
        return target.apply
    if isinstance(target, type) and issubclass(target, torch.nn.Module):
        try:
            return target()
        except Exception as error:
            raise RaisedError(error) from error
    return target

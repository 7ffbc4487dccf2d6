"""Every frontend behind one small interface, whose functions take and return NumPy arrays."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import pytest

Array = np.ndarray


class Numpy:
    """The NumPy frontend, with which the others are compared, and the interface of all of them."""

    name, axis, keepdims, array, first, second = "numpy", "axis", "keepdims", "array", "x", "y"

    def __init__(self) -> None:
        import cosgrad.numpy as frontend

        self.frontend = frontend

    def context(self) -> Any:
        """Return the context manager that enables float64."""
        return nullcontext()

    def tensor(self, a: Array) -> Any:
        """Return an array of the framework with the same bits."""
        return a

    def numpy(self, t: Any) -> Array:
        """Return a NumPy array with the same bits."""
        return np.asarray(t)

    def value(self, name: str, x: Array, y: Array, axis: int, eps: float, keepdims: bool) -> Array:
        """Return the value of a function of two arrays."""
        words = {self.axis: axis, "eps": eps, self.keepdims: keepdims}
        with self.context():
            return self.numpy(getattr(self.frontend, name)(self.tensor(x), self.tensor(y), **words))

    def gradients(
        self, name: str, x: Array, y: Array, g: Array, axis: int, eps: float
    ) -> tuple[Array, Array]:
        """Return the products of g with the Jacobians."""
        g = g if name == "cosine_similarity" else -g
        return self.frontend.cosine_similarity_grad(x, y, g, axis=axis, eps=eps)

    def loss(self, x: Array, y: Array, **options: Any) -> float:
        """Return the distance loss."""
        with self.context():
            options = {k: self.tensor(v) if isinstance(v, Array) else v for k, v in options.items()}
            loss = self.frontend.cosine_distance_loss(self.tensor(x), self.tensor(y), **options)
            return float(self.numpy(loss).astype(np.float64))


class Torch(Numpy):
    name, axis, keepdims, array, first, second = "torch", "dim", "keepdim", "tensor", "x1", "x2"

    def __init__(self) -> None:
        torch = pytest.importorskip("torch")
        import cosgrad.torch as frontend

        self.torch, self.frontend = torch, frontend

    def tensor(self, a: Array) -> Any:
        a = np.ascontiguousarray(a) if a.ndim else a.copy()
        if a.dtype == ml_dtypes.bfloat16:
            return self.torch.from_numpy(a.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(a)

    def numpy(self, t: Any) -> Array:
        t = t.detach()
        if t.dtype == self.torch.bfloat16:
            return t.contiguous().view(self.torch.int16).numpy().view(ml_dtypes.bfloat16)
        return t.numpy()

    def gradients(
        self, name: str, x: Array, y: Array, g: Array, axis: int, eps: float
    ) -> tuple[Array, Array]:
        a, b = self.tensor(x).clone().requires_grad_(), self.tensor(y).clone().requires_grad_()
        value = getattr(self.frontend, name)(a, b, axis, eps)
        return tuple(map(self.numpy, self.torch.autograd.grad(value, (a, b), self.tensor(g))))


class Jax(Numpy):
    name = "jax"

    def __init__(self) -> None:
        jax = pytest.importorskip("jax")
        import cosgrad.jax as frontend

        self.jax, self.frontend = jax, frontend

    def context(self) -> Any:
        return self.jax.enable_x64(True)

    def tensor(self, a: Array) -> Any:
        return self.jax.numpy.asarray(a)

    def gradients(
        self, name: str, x: Array, y: Array, g: Array, axis: int, eps: float
    ) -> tuple[Array, Array]:
        with self.context():
            a, b, c = map(self.tensor, (x, y, g))
            _, pull = self.jax.vjp(lambda a, b: getattr(self.frontend, name)(a, b, axis=axis, eps=eps), a, b)
            return tuple(map(self.numpy, pull(c)))


class Tensorflow(Numpy):
    name, array = "tensorflow", "tensor"

    def __init__(self) -> None:
        tf = pytest.importorskip("tensorflow")
        import cosgrad.tensorflow as frontend

        self.tf, self.frontend = tf, frontend

    def tensor(self, a: Array) -> Any:
        return self.tf.constant(a)

    def gradients(
        self, name: str, x: Array, y: Array, g: Array, axis: int, eps: float
    ) -> tuple[Array, Array]:
        a, b = self.tensor(x), self.tensor(y)
        with self.tf.GradientTape() as tape:
            tape.watch((a, b))
            value = getattr(self.frontend, name)(a, b, axis=axis, eps=eps)
        return tuple(map(self.numpy, tape.gradient(value, (a, b), self.tensor(g))))


FRAMEWORKS: dict[str, Callable[[], Numpy]] = {f.name: f for f in (Numpy, Torch, Jax, Tensorflow)}

"""Libraries that take JAX arrays. All are timed under `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosgrad.bench.rivals.base import Function, Functions, Library, minus
from cosgrad.bench.timing import Work


def _functions(similarity: Function, distance: Function, loss: Function | None = None) -> Functions:
    import jax
    import jax.numpy as jnp

    wait: Any = jax.block_until_ready

    def with_gradients(loss: Function) -> Callable[[Any, Any], Work]:
        both = jax.jit(jax.value_and_grad(loss, (0, 1)))
        return lambda x, y: lambda: wait(both(x, y))

    mean = loss or (lambda x, y: jnp.mean(distance(x, y)))
    return Functions(jax.jit(similarity), jax.jit(distance), with_gradients(mean), jnp.asarray, wait)


def _cosgrad() -> Functions:
    import cosgrad.jax as frontend

    return _functions(frontend.cosine_similarity, frontend.cosine_distance, frontend.cosine_distance_loss)


def _optax() -> Functions:
    from optax import losses

    return _functions(losses.cosine_similarity, losses.cosine_distance)


def _formula() -> Functions:
    import jax.numpy as jnp

    def similarity(x: Any, y: Any) -> Any:
        return jnp.sum(x * y, -1) / (jnp.linalg.norm(x, axis=-1) * jnp.linalg.norm(y, axis=-1))

    return _functions(similarity, minus(similarity))


LIBRARIES = (
    Library(
        "cosgrad.jax", "jax", "cosine_similarity under jit", _cosgrad, ("cosgrad",), ours=True, pool=True
    ),
    Library("optax", "jax", "losses.cosine_similarity under jit", _optax, ("optax",), pool=True),
    Library("jax", "jax", "<x, y> / (|x| |y|) in jax.numpy under jit", _formula, ("jax",), pool=True),
)

"""Cosine similarities in JAX: right ones, and wrong ones with one mistake each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import cosgrad.jax
from cosgrad.closed import SIMILARITY, Rule, cosine
from cosgrad.jax._ops import OPS


def _norm(x):
    return jnp.linalg.norm(x, axis=-1)


@jax.jit
def plain(x, y):
    """Return the similarity by the textbook formula."""
    return (x * y).sum(-1) / (_norm(x) * _norm(y))


ours = cosgrad.jax.cosine_similarity
ours_distance = cosgrad.jax.cosine_distance


@jax.jit
def closed(x, y):
    return cosine(OPS, x, y, Rule(1, 0.0, SIMILARITY))[:, 0]


def one_pair(x, y):
    return x @ y / jnp.sqrt((x @ x) * (y @ y))


def one_column(x, y):
    return x.T @ y / (jnp.linalg.norm(x) * jnp.linalg.norm(y))


def branches(x, y):
    """Return the similarity after a branch on a value: it can be differentiated but not jitted."""
    return plain(x, y) if (x * x).sum() > 0 else jnp.zeros(len(x), x.dtype)


@jax.jit
def absolute(x, y):
    return jnp.abs(plain(x, y))


@jax.jit
def added_eps(x, y):
    return (x * y).sum(-1) / (_norm(x) * _norm(y) + 1e-6)


@jax.jit
def batch_norm(x, y):
    return (x * y).sum(-1) / (jnp.linalg.norm(x) * jnp.linalg.norm(y))


@jax.jit
def detached_norm(x, y):
    a, b = (jax.lax.stop_gradient(_norm(t)) for t in (x, y))
    return (x * y).sum(-1) / (a * b)


@jax.jit
def cast_down(x, y):
    return plain(x.astype(jnp.float32), y.astype(jnp.float32)).astype(x.dtype)


@jax.jit
def float32_result(x, y):
    return plain(x, y).astype(jnp.float32)


@jax.custom_vjp
def slightly_off(x, y):
    return plain(x, y)


def _backward(xy, g):
    return tuple(1.0001 * t for t in jax.vjp(plain, *xy)[1](g))


slightly_off.defvjp(lambda x, y: (plain(x, y), (x, y)), _backward)


@jax.custom_jvp
def misprint(x, y):
    return plain(x, y)


@misprint.defjvp
def _misprint(primals, tangents):
    (x, y), (u, v) = primals, tangents
    p, q, S = _norm(x) ** 2, _norm(y) ** 2, plain(x, y)
    rate = ((u * y).sum(-1) + (x * v).sum(-1)) / jnp.sqrt(p * q)
    return S, rate - S * ((u * x).sum(-1) / p - (v * y).sum(-1) / q)


def in_numpy(x, y):
    return np.asarray(plain(x, y))


def keeps_axis(x, y):
    return plain(x, y)[:, None]

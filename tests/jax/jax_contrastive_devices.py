"""Contrastive losses over four devices of the host. test_jax_devices.py runs this in a process of its own."""

import json
import re
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from jax_devices import GRID, LINE, seen

import cosgrad.jax as C

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(20261121)
N, D = 24, 8
X, Y = RNG.standard_normal((2, N, D))
Y += X
T = np.float64(0.3)
LABELS = RNG.integers(0, 6, (2, N))
IGNORE = RNG.random((N, N)) < 0.2
IGNORE[3], IGNORE[:, 20] = True, True
CASES = {}


def case(f):
    CASES[f.__name__.replace("_", " ")] = f
    return f


def near(a, b, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max()), a, b)


def views(z):
    """Reorder the rows so that each device holds both views of its own images."""
    return z.reshape(2, 4, -1, D).swapaxes(0, 1).reshape(z.shape)


LOSSES = {
    "symmetric": (lambda x, y, t, **k: C.contrastive_loss(x, y, temperature=t, **k), (X, Y, T), ()),
    "more columns": (
        lambda x, y, t, **k: C.contrastive_loss(x, y, temperature=t, symmetric=False, **k),
        (X, np.concatenate([Y.reshape(4, 6, D), X[::-1].reshape(4, 6, D)], 1).reshape(-1, D), T),
        (),
    ),
    "labels and ignored": (
        lambda x, y, t, a, b, i, **k: C.contrastive_loss(
            x, y, temperature=t, labels_x=a, labels_y=b, ignore=i, **k
        ),
        (X, Y, T),
        (*LABELS, IGNORE),
    ),
    "ignored": (
        lambda x, y, t, i, **k: C.contrastive_loss(x, y, temperature=t, ignore=i, **k),
        (X, Y, T),
        (IGNORE,),
    ),
    "supervised": (lambda z, t, a, **k: C.nt_xent_loss(z, a, temperature=t, **k), (X, T), (LABELS[0],)),
    "sigmoid": (
        lambda x, y, s, b, **k: C.sigmoid_contrastive_loss(x, y, scale=s, bias=b, **k),
        (X, Y, 1 / T, -T),
        (),
    ),
}


def distributed(loss, arguments, given, mesh=LINE, axis="d", **options):
    specs = tuple(P(axis) if np.ndim(a) else P() for a in (*arguments, *given))
    return jax.shard_map(partial(loss, axis_name=axis), mesh=mesh, in_specs=specs, out_specs=P(), **options)


def one_device(name):
    """Return the loss that one device computes.

    With more columns than rows, one device expects the columns of the matching rows first.
    """
    loss, arguments, _ = LOSSES[name]
    if name != "more columns":
        return loss
    order = np.arange(len(arguments[1])).reshape(4, 2, 6).swapaxes(0, 1).ravel()
    return lambda x, y, t: loss(x, y[order], t)


def outside(name, mesh=LINE, axis="d", **options):
    """Compare the gradients of the replicated loss with those of one device."""
    loss, arguments, given = LOSSES[name]
    number = tuple(range(len(arguments)))
    losses = (distributed(loss, arguments, given, mesh, axis, **options), one_device(name))
    near(*(jax.jit(jax.value_and_grad(f, number))(*arguments, *given) for f in losses))


def second(name, **options):
    """Compare derivatives of these gradients with those of the loss without devices."""
    loss, arguments, given = LOSSES[name]
    number = tuple(range(len(arguments)))

    def product(f):
        gradient = lambda *a: jax.grad(f, number)(*a, *given)  # noqa: E731
        return jax.jit(lambda *a: jax.jvp(gradient, a, a)[1])(*arguments)

    near(product(distributed(loss, arguments, given, **options)), product(loss), 1e-11)


def inside(name, check_vma=True):
    """Compare the gradients that every device takes of its own rows with those of one device.

    Without `check_vma`, `psum` multiplies these gradients by the number of devices.
    """
    loss, arguments, given = LOSSES[name]
    number = tuple(range(len(arguments)))
    specs = tuple(P("d") if np.ndim(a) else P() for a in (*arguments, *given))

    def local(*a):
        value, gradients = jax.value_and_grad(partial(loss, axis_name="d"), number)(*a)
        if check_vma:
            return value, gradients
        return value, tuple(g / 4 if g.ndim else jax.lax.pmean(g, "d") for g in gradients)

    out_specs = (P(), tuple(P("d") if np.ndim(a) else P() for a in arguments))
    f = jax.shard_map(local, mesh=LINE, in_specs=specs, out_specs=out_specs, check_vma=check_vma)
    near(jax.jit(f)(*arguments, *given), jax.jit(jax.value_and_grad(loss, number))(*arguments, *given))


@case
def symmetric():
    outside("symmetric"), second("symmetric"), inside("symmetric")


@case
def symmetric_unchecked():
    outside("symmetric", check_vma=False), inside("symmetric", check_vma=False)


@case
def more_columns():
    outside("more columns")


@case
def ignored():
    outside("ignored"), inside("ignored")


@case
def labels_and_ignored():
    outside("labels and ignored"), second("labels and ignored")


@case
def labels_and_ignored_unchecked():
    outside("labels and ignored", check_vma=False)


@case
def supervised():
    outside("supervised"), inside("supervised")


@case
def sigmoid():
    outside("sigmoid"), inside("sigmoid")


@case
def sigmoid_unchecked():
    outside("sigmoid", check_vma=False), inside("sigmoid", check_vma=False)


@case
def two_axes_of_a_grid():
    outside("labels and ignored", GRID, ("p", "q"))


@case
def views_of_every_device():
    z = np.concatenate([X, Y])
    parts = jax.shard_map(
        lambda z, t: C.nt_xent_loss(z, temperature=t, axis_name="d"),
        mesh=LINE,
        in_specs=(P("d"), P()),
        out_specs=P(),
    )
    whole = jax.value_and_grad(lambda z, t: C.nt_xent_loss(z, temperature=t), (0, 1))
    near(jax.jit(jax.value_and_grad(lambda z, t: parts(views(z), t), (0, 1)))(z, T), jax.jit(whole)(z, T))


@case
def rows_over_one_axis_of_two():
    loss, arguments, _ = LOSSES["symmetric"]
    f = jax.shard_map(partial(loss, axis_name="p"), mesh=GRID, in_specs=(P("p"), P("p"), P()), out_specs=P())
    near(*(jax.jit(jax.value_and_grad(g, (0, 1, 2)))(*arguments) for g in (f, loss)))


@case
def eagerly():
    loss, arguments, given = LOSSES["symmetric"]
    near(distributed(loss, arguments, given)(*arguments), loss(*arguments))


@case
def nobody_holds_the_batch():
    x = jax.ShapeDtypeStruct((4 * 512, 64), jnp.float32)
    f = distributed(lambda x, y, **k: C.contrastive_loss(x, y, **k), (X, Y), ())
    text = jax.jit(jax.grad(f, (0, 1))).lower(x, x).compile().as_text()
    assert "collective-permute" in text
    assert "all-gather" not in text
    assert "f32[2048," not in text
    assert ",2048]" not in text


@case
def a_wrong_mask():
    f = distributed(LOSSES["ignored"][0], (X, Y, T), (IGNORE,))
    with pytest.raises(ValueError, match=re.escape("ignore of shape (6, 6) must be of shape (6, 24)")):
        f(X, Y, T, IGNORE[:, :6])


def train(loss):
    """Train two towers for 20 steps and return their parameters."""
    keys = jax.random.split(jax.random.key(0), 2)
    parameters = {
        "towers": [jax.random.normal(key, (D, 5), jnp.float32) for key in keys],
        "log": jnp.float32(-1.0),
    }
    x, y = X.astype(np.float32), Y.astype(np.float32)
    optimizer = optax.adam(0.01)

    @jax.jit
    def step(parameters, state):
        gradients = jax.grad(loss)(parameters, x, y)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(parameters, updates), state

    state = optimizer.init(parameters)
    for _ in range(20):
        parameters, state = step(parameters, state)
    return parameters


def model(parameters, x, y, axis_name=None):
    u, v = (jnp.tanh(a) @ tower for a, tower in zip((x, y), parameters["towers"], strict=True))
    return C.contrastive_loss(u, v, temperature=jnp.exp(parameters["log"]), axis_name=axis_name)


@case
def twenty_steps_of_an_optimizer():
    parts = jax.shard_map(
        partial(model, axis_name="d"), mesh=LINE, in_specs=(P(), P("d"), P("d")), out_specs=P()
    )
    near(train(parts), train(model), 1e-6)


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    print(json.dumps({name: seen(CASES[name]) for name in names}))

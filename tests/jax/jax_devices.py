"""Cases on four devices of the host.

test_jax_devices.py runs this file in a process of its own. It prints JSON.
"""

import json
import re
import sys
import traceback
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import cosgrad.jax as C
import cosgrad.numpy as N

LINE = Mesh(np.array(jax.devices()), ("d",))
GRID = Mesh(np.array(jax.devices()).reshape(2, 2), ("p", "q"))
# Each program runs once, so optimizing it would take more time than it saves.
jax.config.update("jax_disable_most_optimizations", True)
RNG = np.random.default_rng(20261121)
X, Y = RNG.standard_normal((2, 16, 33)).astype(np.float32)
CUBES = RNG.standard_normal((2, 4, 6, 9)).astype(np.float32)
CASES: dict[str, Callable[[], None]] = {}


def case(f: Callable[[], None]) -> Callable[[], None]:
    CASES[f.__name__.replace("_", " ")] = f
    return f


def put(a, mesh, *spec):
    return jax.device_put(a, NamedSharding(mesh, P(*spec)))


def lies(a, mesh, *spec):
    assert a.sharding.is_equivalent_to(NamedSharding(mesh, P(*spec)), a.ndim), a.sharding


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def summed(a, b):
    """Check equality up to the order of a sum over devices, each part of which is rounded to float32."""
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=4 * 2.0**-24 * np.max(np.abs(b)))


def numpys(x, y):
    """Return the gradients of the mean distance, computed by the NumPy frontend."""
    shape = N.cosine_similarity(x, y).shape
    return N.cosine_similarity_grad(x, y, np.full(shape, np.float32(-1 / np.prod(shape))))


LOSS = jax.value_and_grad(C.cosine_distance_loss, (0, 1))


def compiled(f, *args):
    text = jax.jit(f).lower(*args).compile().as_text()
    return text, jax.jit(f)(*args)


def moves(text):
    return re.findall("all-gather|all-to-all|collective-permute|dynamic-slice", text)


@case
def rows_stay_where_they_are():
    a, b = put(X, LINE, "d"), put(Y, LINE, "d")
    text, (_, (ga, gb)) = compiled(LOSS, a, b)
    assert not moves(text), moves(text)
    assert len(re.findall(r'custom_call_target="cosgrad_backward"', text)) == 1
    assert "f32[4,33]" in text
    assert "f32[16,33]" not in text
    lies(ga, LINE, "d"), lies(gb, LINE, "d")
    same((ga, gb), numpys(X, Y))


@case
def eagerly():
    a, b = put(X, LINE, "d"), put(Y, LINE, "d")
    S = C.cosine_similarity(a, b)
    lies(S, LINE, "d")
    same(S, N.cosine_similarity(X, Y))
    lies(C.normalize(a), LINE, "d")
    same(C.normalize(a), N.normalize(X))
    same(LOSS(a, b)[1], numpys(X, Y))


@case
def both_axes_of_a_grid():
    a, b = (put(t, GRID, "p", None) for t in (CUBES[0], CUBES[1]))
    same(jax.jit(LOSS)(a, b)[1], numpys(*CUBES))
    c = put(CUBES[0][:, :, :], GRID, ("p", "q"))
    d = put(CUBES[1], GRID, ("p", "q"))
    text, (_, (gc, _)) = compiled(LOSS, c, d)
    assert not moves(text), moves(text)
    lies(gc, GRID, ("p", "q"))


@case
def sharded_in_different_ways():
    for sx, sy in (
        (("p", "q"), ()),
        (("p", "q"), ("q", "p")),
        ((("p", "q"),), (None, "p")),
        (("p",), (None, "p")),
    ):
        a, b = put(CUBES[0], GRID, *sx), put(CUBES[1], GRID, *sy)
        same(jax.jit(LOSS)(a, b)[1], numpys(*CUBES))


@case
def a_shared_vector():
    a, b = put(X[:1], LINE), put(Y, LINE, "d")
    text, (_, (ga, gb)) = compiled(LOSS, a, b)
    assert not moves(text), moves(text)
    hx, hy = numpys(X[:1], Y)
    lies(ga, LINE), lies(gb, LINE, "d")
    summed(ga, hx)
    same(gb, hy)


@case
def a_shared_axis_of_a_grid():
    a, b = put(CUBES[0][:, :1], GRID, "p"), put(CUBES[1], GRID, "p", "q")
    ga, gb = jax.jit(LOSS)(a, b)[1]
    hx, hy = numpys(CUBES[0][:, :1], CUBES[1])
    lies(ga, GRID, "p")
    summed(ga, hx)
    same(gb, hy)


@case
def vectors_of_length_one():
    a, b = put(X[:, :1], LINE, "d"), put(Y, LINE, "d")
    text, (_, (ga, gb)) = compiled(LOSS, a, b)
    assert not moves(text), moves(text)
    same((ga, gb), numpys(X[:, :1], Y))


@case
def vectors_that_are_cut_are_gathered():
    a, b = (put(t[:, :32], LINE, None, "d") for t in (X, Y))
    same(jax.jit(C.cosine_similarity)(a, b), N.cosine_similarity(X[:, :32], Y[:, :32]))
    same(jax.jit(LOSS)(a, b)[1], numpys(X[:, :32], Y[:, :32]))
    same(jax.jit(C.normalize)(a), N.normalize(X[:, :32]))
    c, d = (put(t.T.copy(), LINE, None, "d") for t in (X, Y))
    S = jax.jit(lambda a, b: C.cosine_similarity(a, b, axis=0))(c, d)
    lies(S, LINE, "d")
    same(S, N.cosine_similarity(X, Y))


@case
def shardings_of_jit():
    row, all_ = NamedSharding(LINE, P("d")), NamedSharding(LINE, P())
    f = jax.jit(C.cosine_similarity, in_shardings=(row, all_), out_shardings=row)
    same(f(X, Y), N.cosine_similarity(X, Y))
    lies(f(X, Y), LINE, "d")
    g = jax.jit(C.normalize, in_shardings=all_, out_shardings=row)
    same(g(X), N.normalize(X))


@case
def constraints_inside():
    def f(a, b):
        return C.cosine_similarity(jax.lax.with_sharding_constraint(a, NamedSharding(LINE, P("d"))), b)

    same(jax.jit(f)(X, Y), N.cosine_similarity(X, Y))


@case
def rows_that_do_not_divide():
    for rows in (1, 3, 6):
        a, b = put(X[:rows], LINE), put(Y[:rows], LINE)
        same(jax.jit(LOSS)(a, b)[1], numpys(X[:rows], Y[:rows]))
    f = jax.jit(lambda a, b: C.cosine_similarity(a[:6], b[:6]))
    same(f(put(X, LINE, "d"), put(Y, LINE, "d")), N.cosine_similarity(X[:6], Y[:6]))


@case
def mapped():
    a, b = put(X, LINE, "d"), put(Y, LINE, "d")
    g = jax.vmap(jax.grad(C.cosine_similarity, (0, 1)))
    text, out = compiled(g, a, b)
    assert not moves(text), moves(text)
    lies(out[0], LINE, "d")
    same(out, N.cosine_similarity_grad(X, Y, np.ones(16, np.float32)))
    named = jax.vmap(jax.grad(C.cosine_similarity, (0, 1)), spmd_axis_name="d")
    same(jax.jit(named)(a, b), out)
    over = jax.jit(jax.vmap(jax.grad(C.cosine_similarity, (0, 1)), (None, 0)))(X[0], b)
    same(over, N.cosine_similarity_grad(np.repeat(X[:1], 16, 0), Y, np.ones(16, np.float32)))


@case
def second_order():
    def f(x, y, u):
        gradient = jax.grad(lambda x, y: C.cosine_distance(x, y).sum(), (0, 1))
        return jax.jvp(lambda x: gradient(x, y), (x,), (u,))[1], jax.jvp(
            lambda x: C.cosine_distance(x, y), (x,), (u,)
        )[1]

    a, b, u = put(X, LINE, "d"), put(Y, LINE, "d"), put(Y[::-1], LINE, "d")
    text, (h, J) = compiled(f, a, b, u)
    assert not moves(text), moves(text)
    assert "all-reduce" not in text
    lies(h[0], LINE, "d"), lies(J, LINE, "d")
    h1, J1 = jax.jit(f)(X, Y, Y[::-1])
    summed(h[0], h1[0]), summed(h[1], h1[1])
    same(J, J1)


@case
def the_weighted_loss():
    w = np.arange(16, dtype=np.float32) % 3
    x = X.copy()
    x[0] = np.nan
    f = jax.value_and_grad(
        lambda x, y, w: C.cosine_distance_loss(x, y, weights=w, reduction="weighted_mean"), (0, 1, 2)
    )
    text, out = compiled(f, put(x, LINE, "d"), put(Y, LINE, "d"), put(w, LINE, "d"))
    assert not moves(text), moves(text)
    jax.tree.map(summed, out, jax.jit(f)(x, Y, w))


def _shard_map(check_vma):
    def local(x, y):
        S = C.cosine_similarity(x, y)
        D = C.cosine_distance_loss(x, y, weights=jnp.full(4, 0.5, x.dtype), reduction="sum")
        J = jax.jvp(C.cosine_similarity, (x, y), (x + 1, jnp.ones_like(y)))[1]
        H = jax.vmap(jax.hessian(C.cosine_distance), (0, None))(x, y[0])
        return S, jax.lax.psum(D, "d"), J, H, C.normalize(x), C.normalize(y)

    spec = (P("d"), P(), P("d"), P("d"), P("d"), P())
    f = jax.shard_map(local, mesh=LINE, in_specs=(P("d"), P()), out_specs=spec, check_vma=check_vma)
    S, D, J, _, u, v = jax.jit(f)(X, Y[:1])
    same(S, N.cosine_similarity(X, Y[:1]))
    same(u, N.normalize(X)), same(v, N.normalize(Y[:1]))
    same(J, N.cosine_similarity_jvp(X, Y[:1], X + 1, np.ones_like(Y[:1])))
    summed(D, 0.5 * N.cosine_distance(X, Y[:1]).sum())
    grads = jax.jit(jax.grad(lambda x, y: f(x, y)[1] / 8, (0, 1)))(X, Y[:1])
    hx, hy = numpys(X, Y[:1])
    same(grads[0], hx), summed(grads[1], hy)
    twice = jax.jit(jax.grad(lambda y: (jax.grad(lambda x: f(x, y)[1])(X) * X[::-1]).sum()))(Y[:1])
    plain = lambda x, y: C.cosine_distance(x, y).sum() / 2  # noqa: E731
    reference = jax.grad(lambda y: (jax.grad(plain)(X, y) * X[::-1]).sum())(Y[:1])
    np.testing.assert_allclose(twice, reference, rtol=1e-5, atol=1e-6)


@case
def shard_map_checked():
    _shard_map(True)


@case
def shard_map_unchecked():
    _shard_map(False)


@case
def shard_map_over_one_axis_of_two():
    f = jax.shard_map(
        C.cosine_similarity, mesh=GRID, in_specs=(P("p"), P("p")), out_specs=P("p"), axis_names={"p"}
    )
    same(jax.jit(f)(X, Y), N.cosine_similarity(X, Y))
    g = jax.jit(jax.grad(lambda x, y: f(x, y).sum() / -16, (0, 1)))
    same(g(X, Y), numpys(X, Y))


@case
def explicit_axes():
    mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        a, b = jax.device_put(X, P("d")), jax.device_put(Y, P("d"))
        S = jax.jit(C.cosine_similarity)(a, b)
        assert jax.typeof(S).sharding.spec == P("d")
        same(S, N.cosine_similarity(X, Y))
        _, (ga, gb) = jax.jit(LOSS)(a, b)
        assert jax.typeof(ga).sharding.spec == P("d", None)
        same((ga, gb), numpys(X, Y))
        same(jax.jit(jax.vmap(C.cosine_similarity))(a, b), S)
        J = jax.jit(lambda a, b: jax.jvp(C.cosine_similarity, (a, b), (b, a))[1])(a, b)
        assert jax.typeof(J).sharding.spec == P("d")
        hv = jax.jit(lambda a, b: jax.jvp(lambda a: LOSS(a, b)[1], (a,), (b,))[1])(a, b)
        assert jax.typeof(hv[0]).sharding.spec == P("d", None)
        shared = jax.jit(LOSS)(jax.device_put(X[:1], P()), b)[1]
        summed(shared[0], numpys(X[:1], Y)[0])


@case
def big_calls_on_every_device_at_once():
    x, y = RNG.standard_normal((2, 4 * 4096, 256)).astype(np.float32)
    a, b = put(x, LINE, "d"), put(y, LINE, "d")
    f = jax.jit(LOSS)
    expected = numpys(x, y)
    outs = [f(a, b) for _ in range(4)]
    for out in outs:
        same(out[1], expected)


@case
def the_partitioner_before_shardy():
    jax.config.update("jax_use_shardy_partitioner", False)
    try:
        rows_stay_where_they_are(), a_shared_vector(), vectors_that_are_cut_are_gathered()
    finally:
        jax.config.update("jax_use_shardy_partitioner", True)


def seen(f):
    try:
        f()
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    print(json.dumps({name: seen(CASES[name]) for name in names}))

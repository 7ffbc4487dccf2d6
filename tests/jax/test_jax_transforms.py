"""Tests of every transform of every public function: JAX's own checks, and compositions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from jax.lax import cond, scan, while_loop
from jax.test_util import check_grads
from jax_cases import FUNCTIONS, check, close, matrices, plain, same

import cosgrad.jax as C
from cosgrad.verify import bounds, inputs, oracle

TOLERANCE = 1e-5  # the error of central differences with JAX's step in float64


@pytest.fixture
def pair(rng):
    return matrices(rng)


CHECKED = ["similarity", "distance", "normalize", "embedding loss"]


@pytest.mark.parametrize("name", CHECKED)
def test_check_grads(name, pair):
    check_grads(jax.jit(FUNCTIONS[name]), pair, order=2, modes=("fwd", "rev"), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("shape", [(3, 1, 1)], ids=str)
def test_check_grads_of_broadcast_operands(shape, pair, rng):
    x = jnp.asarray(rng.standard_normal(shape))
    f = jax.jit(lambda x, y: C.cosine_similarity(x, y, eps=0.1))
    check_grads(f, (x, pair[1]), order=2, atol=TOLERANCE, rtol=TOLERANCE)


def test_check_grads_of_the_weights(pair, rng):
    loss = jax.jit(lambda x, y, w: C.cosine_distance_loss(x, y, weights=w, reduction="weighted_mean"))
    w = jnp.asarray(rng.uniform(0.5, 2, (4,)))
    check_grads(loss, (*pair, w), order=2, atol=TOLERANCE, rtol=TOLERANCE)


COMPOSITIONS = {
    "grad": lambda f: grad(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    "vmap of grad": lambda f: vmap(grad(f, argnums=(0, 1))),
    "vmap over x alone": lambda f: vmap(f, (0, None)),
    "vmap over y alone, other axes": lambda f: lambda x, y: vmap(f, (None, 1), 1)(x, y[:, None]),
    "vmap along the last axis": lambda f: lambda x, y: vmap(f, (-1, 1), 1)(x.T[None], y[None]),
    "nested vmap of grad": lambda f: vmap(vmap(grad(f, (0, 1)), (None, 0), (1, 0)), (0, None), 1),
    "jvp": lambda f: lambda x, y: jvp(f, (x, y), (y, x)),
    "jvp in one operand": lambda f: lambda x, y: jvp(lambda x: f(x, y), (x,), (y,)),
    "vmap of jvp, direction mapped": lambda f: (
        lambda x, y: vmap(lambda u: jvp(f, (x, y), (u, y)), 1)(x[:, None] * jnp.ones((1, 3, 1)))
    ),
    "vmap of jvp in x, direction mapped": lambda f: (
        lambda x, y: vmap(lambda u: jvp(lambda x: f(x, y), (x,), (u,)))(jnp.stack([x, y]))
    ),
    "vmap of vjp": lambda f: lambda x, y: vmap(vjp(f, x, y)[1])(x.T),
    "linearize": lambda f: lambda x, y: jax.linearize(f, x, y)[1](y, x),
    "linear transpose": lambda f: (
        lambda x, y: jax.linear_transpose(lambda u: jvp(lambda x: f(x, y), (x,), (u,))[1], x)(x[:, 0])
    ),
    "linear transpose of vjp": lambda f: (
        lambda x, y: jax.linear_transpose(lambda g: vjp(f, x, y)[1](g), x[:, 0])((y, x))
    ),
    "jacfwd": jacfwd,
    "hessian": lambda f: hessian(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    "reverse over forward": lambda f: jacrev(jacfwd(lambda x, y: f(x, y).sum(), 1), 0),
    "vmap of hessian over one": lambda f: lambda x, y: vmap(hessian(f, (0, 1)), (0, None))(x, y[0]),
    "hessian of a vector and itself": lambda f: lambda x, y: vmap(hessian(lambda x: f(x, jnp.roll(x, 1))))(x),
    "jvp of grad": lambda f: lambda x, y: jvp(grad(lambda x: f(x, y).sum()), (x,), (y,)),
    "grad of jvp": lambda f: grad(lambda x, y: jvp(f, (x, y), (y, x))[1].sum(), argnums=(0, 1)),
    "grad of jvp in its direction": lambda f: (
        lambda x, y: grad(lambda u, y: jvp(f, (x, y), (u, y))[1].sum(), (0, 1))(x, y)
    ),
    "derivative of vjp in its cotangent": lambda f: lambda x, y: jacfwd(vjp(f, x, y)[1])(x[:, 0]),
    "checkpoint": lambda f: grad(jax.checkpoint(lambda x, y: f(x, y).sum()), (0, 1)),
    "scan": lambda f: lambda x, y: scan(lambda c, r: (c + 1, grad(f)(*r)), 0.0, (x, y)),
    "grad of scan": lambda f: grad(
        lambda x, y: scan(lambda c, r: (c + f(c * x[0] + r, x[0]), None), 1.0, y)[0]
    ),
    "while": lambda f: (
        lambda x, y: while_loop(
            lambda s: s[1] < 3, lambda s: (s[0] + grad(lambda x: f(x, y).sum())(s[0]), s[1] + 1), (x, 0)
        )
    ),
    "cond": lambda f: grad(lambda x, y: cond(x[0, 0] > 9, lambda: 0.0, lambda: f(x, y).sum()), (0, 1)),
}


@pytest.mark.parametrize("name", list(COMPOSITIONS))
def test_compositions(name, pair):
    ours, ref = (jax.jit(COMPOSITIONS[name](f))(*pair) for f in (C.cosine_similarity, plain))
    close(ours, ref)


@pytest.mark.parametrize("name", ["vmap of grad", "jvp", "hessian", "grad of jvp", "linear transpose"])
def test_compositions_op_by_op(name, pair):
    transformed = COMPOSITIONS[name](C.cosine_similarity)
    compiled = jax.jit(transformed)(*pair)
    close(transformed(*pair), compiled)


def test_without_compilation(pair):
    transformed = COMPOSITIONS["vmap of grad"](C.cosine_similarity)
    compiled = transformed(*pair)
    with jax.disable_jit():
        same(transformed(*pair), compiled)


@pytest.mark.parametrize(("outer", "inner"), [(jacfwd, jacrev), (jacrev, jacfwd)])
@pytest.mark.parametrize("what", ["similarity", "normalize"])
def test_third_derivatives(outer, inner, what, rng):
    x, y = matrices(rng, 3)
    ours, ref = {
        "similarity": (lambda x: C.cosine_similarity(x, y[0]), lambda x: plain(x, y[0])),
        "normalize": (C.normalize, lambda x: x / jnp.sqrt((x * x).sum())),
    }[what]
    third = (jax.jit(outer(jacrev(inner(f))))(x[0]) for f in (ours, ref))
    close(*third)


def test_transforms_agree(function, pair):
    x, y = pair
    scalar = lambda x, y: function(x, y).sum()  # noqa: E731
    g = jax.jit(grad(scalar, (0, 1)))(x, y)
    close(jax.jit(lambda x, y: jvp(scalar, (x, y), (y, x))[1])(x, y), (g[0] * y).sum() + (g[1] * x).sum())
    batch = jax.jit(vmap(function))(jnp.stack([x, y]), jnp.stack([y, x]))
    close(batch, jnp.stack([function(x, y), function(y, x)]))


def test_shapes_are_known_without_computing(function, pair):
    expected = function(*pair)
    got = jax.eval_shape(function, *pair)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize("dtype_name", ["float16", "bfloat16", "float32"], indirect=True)
@pytest.mark.parametrize("name", ["similarity", "normalize", "weighted loss", "embedding loss"])
def test_narrow_types_in_every_mode(name, pair, dtype):
    function = FUNCTIONS[name]
    x, y = (jnp.asarray(a, dtype) for a in pair)
    wide = [a.astype(jnp.float64) for a in (x, y)]
    scalar = lambda x, y: function(x, y).astype(jnp.float64).sum()  # noqa: E731

    @jax.jit
    def modes(x, y):
        return grad(scalar, (0, 1))(x, y), jvp(scalar, (x, y), (y, x))[1]

    eps = float(jnp.finfo(dtype).eps)
    got = modes(x, y)
    assert all(g.dtype == dtype for g in got[0])
    got = jax.tree.map(lambda t: t.astype(np.float64), got)
    close(got, modes(*wide), rtol=16 * eps, atol=64 * eps)


@pytest.fixture(params=(1, 17))
def ordinary(request, dtype_name, seed):
    return inputs.ordinary(seed, request.param, dtype_name)


def test_hessian_product(ordinary, dtype):
    x, y, u, v, g = (
        jnp.asarray(a, dtype) for a in (ordinary.x, ordinary.y, ordinary.u, ordinary.v, ordinary.g)
    )

    @jax.jit
    def modes(x, y, u, v, g):
        def gradient(x, y):
            return vjp(C.cosine_similarity, x, y)[1](g)

        def along(x, y):
            return (jvp(C.cosine_similarity, (x, y), (u, v))[1] * g).sum()

        return jvp(gradient, (x, y), (u, v))[1], vjp(gradient, x, y)[1]((u, v)), grad(along, (0, 1))(x, y)

    truth, bound = ordinary.hessians, bounds.hessian(ordinary.dtype, ordinary.n)
    hx, hy = (np.stack(halves) for halves in zip(*modes(x, y, u, v, g), strict=True))
    for got, true, scale in zip((hx, hy), truth.true, truth.scale, strict=True):
        [check(ordinary, mode, true, scale, bound) for mode in got]


def test_unit_vectors_products(ordinary, dtype):
    x, g = jnp.asarray(ordinary.x, dtype), jnp.asarray(ordinary.u, dtype)
    forward, reverse = jvp(C.normalize, (x,), (g,))[1], vjp(C.normalize, x)[1](g)[0]
    same(forward, reverse)
    rows = list(zip(ordinary.x, ordinary.u, strict=True))
    true = [t for row in rows for t in oracle.normalize_vjp(*row)]
    scale = [t for row in rows for t in oracle.normalize_vjp_scale(*row)]
    check(ordinary, forward, true, scale, bounds.gradient(ordinary.dtype, ordinary.n))


@pytest.mark.parametrize("eps", [0.0, 0.5])
def test_zero_vectors_have_no_nan_in_any_derivative(eps, pair):
    x, y = jnp.zeros(5), pair[1][0]
    f = lambda x, y: C.cosine_similarity(x, y, eps=eps)  # noqa: E731
    first, second = jax.jit(lambda x, y: (grad(f, (0, 1))(x, y), hessian(f, (0, 1))(x, y)))(x, y)
    ratio = y / jnp.sqrt((y * y).sum()) / eps if eps else jnp.zeros(5)
    close(first, (ratio, jnp.zeros(5)))
    assert all(np.isfinite(h).all() for h in jax.tree.leaves(second))
    close(jax.jit(hessian(lambda x: C.normalize(x, eps=eps).sum()))(x), jnp.zeros((5, 5)))


def test_many_cotangents_at_once(function, pair):
    out, back = vjp(function, *pair)
    cotangents = jnp.eye(out.size, dtype=out.dtype).reshape(-1, *out.shape)
    many = jax.jit(vmap(back))(cotangents)
    close(jax.tree.map(lambda t: t[-1], many), back(cotangents[-1]))


@pytest.mark.parametrize("shape", [(1, 3), (3,)], ids=str)
def test_an_empty_batch_adds_nothing_to_what_is_broadcast(shape):
    gx, gy = grad(lambda x, y: C.cosine_similarity(x, y).sum(), (0, 1))(jnp.zeros((0, 3)), jnp.ones(shape))
    assert gx.shape == (0, 3)
    same(gy, np.zeros(shape))


def test_a_batch_of_none(pair):
    got = vmap(grad(C.cosine_similarity, (0, 1)), (0, None))(pair[0][:0], pair[1][0])
    assert [g.shape for g in got] == [(0, 5), (0, 5)]


def test_mapped_over_named_axes(pair):
    x, y = pair
    loss = vmap(lambda x, y: jax.lax.pmean(C.cosine_distance(x, y), "rows"), axis_name="rows")
    close(loss(x, y), jnp.full(4, C.cosine_distance_loss(x, y)))

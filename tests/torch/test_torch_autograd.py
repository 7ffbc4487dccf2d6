"""Tests of every mode of differentiation of every public function: PyTorch's own checks, and compositions."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch_cases import FUNCTIONS, matrices

import cosgrad.torch as C

EVERY_MODE = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}


@pytest.fixture
def pair(seed):
    x, y = matrices(seed)
    return x.requires_grad_(), y.requires_grad_()


def plain(x, y):
    """Return the similarity of two vectors by its definition, in PyTorch's operations."""
    return (x * y).sum(-1) / ((x * x).sum(-1) * (y * y).sum(-1)).sqrt()


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-13)


def test_gradcheck(function, pair):
    assert gradcheck(function, pair, **EVERY_MODE)


def test_gradgradcheck(function, pair):
    assert gradgradcheck(function, pair, check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("name", ["similarity", "similarity, eps in force", "distance"])
@pytest.mark.parametrize("shape", [(3, 1, 5), (1, 5), (5,), (4, 1), (2, 1, 1, 1)], ids=str)
def test_gradcheck_of_broadcast_operands(name, shape, pair, seed):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    inputs = (x.requires_grad_(), pair[1])
    assert gradcheck(lambda x, y: FUNCTIONS[name](x, y), inputs, **EVERY_MODE)
    assert gradgradcheck(lambda x, y: FUNCTIONS[name](x, y), inputs, check_fwd_over_rev=True)


def test_gradcheck_of_the_weights(pair, seed):
    w = torch.rand(4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()

    def loss(x, y, w):
        return C.cosine_distance_loss(x[:, None], y, weights=w, reduction="weighted_mean")

    assert gradcheck(loss, (*pair, w), **EVERY_MODE)
    assert gradgradcheck(loss, (*pair, w), check_fwd_over_rev=True)


@pytest.mark.parametrize("outer", [jacfwd, jacrev])
@pytest.mark.parametrize("middle", [jacfwd, jacrev])
@pytest.mark.parametrize("inner", [jacfwd, jacrev])
@pytest.mark.parametrize("what", ["similarity", "normalize"])
def test_third_derivatives(outer, middle, inner, what, seed):
    x, y = matrices(seed)
    ours, ref = {
        "similarity": (lambda x: C.cosine_similarity(x, y[0], 0), lambda x: plain(x, y[0])),
        "normalize": (lambda x: C.normalize(x, dim=0), lambda x: x / (x * x).sum().sqrt()),
    }[what]
    close(outer(middle(inner(ours)))(x[0]), outer(middle(inner(ref)))(x[0]))


def test_compositions(transformation, seed):
    x, y = matrices(seed)
    ours, ref = (transformation(f)(x, y) for f in (lambda x, y: C.cosine_similarity(x, y, -1), plain))
    close(ours, ref)


COMPOSITIONS = {
    "grad": lambda f: grad(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    "grad of vmap": lambda f: grad(lambda x, y: vmap(f)(x, y).sum(), argnums=(0, 1)),
    "vmap of grad": lambda f: vmap(grad(f, argnums=(0, 1))),
    "vmap over x alone": lambda f: vmap(f, (0, None)),
    "vmap over y alone, another dimension": lambda f: lambda x, y: vmap(f, (None, 1), 1)(x, y[:, None]),
    "vmap of grad over y alone": lambda f: vmap(grad(lambda x, y: f(x, y).sum(), argnums=(0, 1)), (None, 0)),
    "nested vmap": lambda f: vmap(vmap(f, (None, 0)), (0, None)),
    "jvp": lambda f: lambda x, y: jvp(f, (x, y), (y, x)),
    "vmap of jvp": lambda f: vmap(lambda x, y: jvp(f, (x, y), (y, x))),
    "vmap of jvp, tangent mapped": lambda f: (
        lambda x, y: vmap(lambda u: jvp(f, (x, y), (u, y)), 1)(x[:, None])
    ),
    "jvp in one operand": lambda f: lambda x, y: jvp(lambda x: f(x, y), (x,), (y,)),
    "vjp": lambda f: lambda x, y: vjp(f, x, y)[1](x[:, 0]),
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "hessian": lambda f: hessian(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    "reverse over forward": lambda f: jacrev(jacfwd(lambda x, y: f(x, y).sum(), 1), 0),
    "vmap of hessian": lambda f: vmap(hessian(f)),
    "hessian of a vector and itself": lambda f: lambda x, y: vmap(hessian(lambda x: f(x, x.roll(1, -1))))(x),
    "jvp of grad": lambda f: lambda x, y: jvp(grad(lambda x: f(x, y).sum()), (x,), (y,)),
    "grad of jvp": lambda f: grad(lambda x, y: jvp(f, (x, y), (y, x))[1].sum(), argnums=(0, 1)),
    "jvp of jvp": lambda f: lambda x, y: jvp(lambda x: jvp(lambda x: f(x, y), (x,), (y,))[1], (x,), (y,)),
}


@pytest.fixture(params=list(COMPOSITIONS))
def transformation(request):
    return COMPOSITIONS[request.param]


def test_transforms_of_every_function(function, seed):
    x, y = matrices(seed)
    inputs = (x.clone().requires_grad_(), y.clone().requires_grad_())
    g = torch.autograd.grad(function(*inputs).sum(), inputs)
    close(grad(lambda x, y: function(x, y).sum(), argnums=(0, 1))(x, y), g)
    tangent = jvp(lambda x, y: function(x, y).sum(), (x, y), (y, x))[1]
    close(tangent, (g[0] * y).sum() + (g[1] * x).sum())
    batch = vmap(function)(torch.stack([x, y]), torch.stack([y, x]))
    close(batch, torch.stack([function(x, y), function(y, x)]))


def test_half_types_in_every_mode(function, torch_dtype, seed):
    x, y = matrices(seed, torch_dtype)
    loose = {"rtol": 16 * torch.finfo(torch_dtype).eps, "atol": 16 * torch.finfo(torch_dtype).eps}
    wide = [t.double() for t in (x, y)]
    scalar = lambda x, y: function(x, y).sum()  # noqa: E731
    g, h = (grad(scalar, argnums=(0, 1))(*p) for p in ((x, y), wide))
    torch.testing.assert_close([t.double() for t in g], list(h), **loose)
    J, K = (jvp(scalar, p, p[::-1])[1] for p in ((x, y), tuple(wide)))
    torch.testing.assert_close(J.double(), K, rtol=loose["rtol"], atol=8 * loose["atol"])


def test_many_cotangents_at_once(function, pair):
    x, y = pair
    out = function(x, y)
    cotangents = torch.eye(out.numel(), dtype=out.dtype).view(-1, *out.shape)
    many = torch.autograd.grad(out, (x, y), cotangents, is_grads_batched=True, retain_graph=True)
    one = torch.autograd.grad(out, (x, y), cotangents[-1])
    close([t[-1] for t in many], list(one))


def test_only_what_is_needed(pair):
    x, y = pair[0], pair[1].detach()
    C.cosine_similarity(x, y).sum().backward()
    assert x.grad is not None
    assert y.grad is None
    S = C.cosine_similarity(y, x)
    assert S.grad_fn.next_functions[0][0] is None
    with torch.no_grad():
        assert not C.cosine_similarity(x, y).requires_grad
    with torch.inference_mode():
        assert C.cosine_similarity(x, y).is_inference()


def test_undefined_cotangents(pair):
    both = torch.ops.cosgrad.similarity_and_distance(*pair, 1, 0.0)
    S, D = (torch.autograd.grad(t.sum(), pair, retain_graph=True) for t in both)
    torch.testing.assert_close(S, tuple(-t for t in D), rtol=0, atol=0)
    close(torch.autograd.grad((2 * both[0] + both[1]).sum(), pair), S)


def test_zero_tangents(pair):
    x, y = (t.detach() for t in pair)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, y)
        constant = C.cosine_similarity(y, y)
        assert forward_ad.unpack_dual(constant).tangent is None
        zero = C.cosine_similarity(dual * 0 + x, torch.zeros_like(dual) + y)
        close(forward_ad.unpack_dual(zero).tangent, torch.zeros(4, dtype=x.dtype))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(pair, use_reentrant):
    direct = torch.autograd.grad(C.cosine_distance_loss(*pair), pair)
    loss = torch.utils.checkpoint.checkpoint(C.cosine_distance_loss, *pair, use_reentrant=use_reentrant)
    loss.backward()
    torch.testing.assert_close((pair[0].grad, pair[1].grad), direct, rtol=0, atol=0)


def test_hooks_of_saved_tensors(pair):
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.shape) or t, lambda t: t.clone()):
        S = C.cosine_similarity(*pair)
    close(torch.autograd.grad(S.sum(), pair), torch.autograd.grad(C.cosine_similarity(*pair).sum(), pair))
    assert seen == [(4, 5), (4, 5)]


def test_a_changed_input_is_noticed(pair):
    x = pair[0] * 1
    S = C.cosine_similarity(x, pair[1])
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        S.sum().backward()


@pytest.mark.parametrize("function", [C.cosine_similarity, C.cosine_distance_loss])
def test_a_tangent_of_the_cotangent_is_carried(function, pair):
    out = function(*pair)
    with forward_ad.dual_level():
        g = forward_ad.make_dual(torch.ones_like(out), torch.full_like(out, 2.0))
        (gx,) = torch.autograd.grad(out, pair[0], g)
        primal, tangent = forward_ad.unpack_dual(gx)
    torch.testing.assert_close(tangent, 2 * primal)


@pytest.mark.parametrize("shape", [(1, 3), (3,)], ids=str)
def test_an_empty_batch_adds_nothing_to_what_is_broadcast(shape):
    x, y = torch.zeros(0, 3, requires_grad=True), torch.ones(shape, requires_grad=True)
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y, -1).sum(), (x, y))
    assert gx.shape == x.shape
    assert torch.equal(gy, torch.zeros_like(y))

"""Tests of compiled calls in one graph: native operators forward and backward, closed forms under transforms.

Compiled transforms are compared with eager ones, which are compared with the oracle. If a compiled transform
were compared with itself, zeros would not be noticed. Transforms run through the tracer alone (`aot_eager`),
because the compilation of plain operations is the backend's responsibility.
"""

import pytest
import ranges
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch_cases import FUNCTIONS, matrices

import cosgrad.torch as C
from cosgrad import formulas
from cosgrad.torch._ops import OPS

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*", "ignore::UserWarning:torch.*"
)


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()


@pytest.fixture
def pair(seed):
    x, y = matrices(seed)
    return x.requires_grad_(), y.requires_grad_()


class Graphs:
    """A backend that records the operators of its graphs."""

    def __init__(self):
        self.operators = []

    def __call__(self, graph, example):
        from functorch.compile import make_boxed_func
        from torch._dynamo.backends.common import aot_autograd

        def record(graph, example):
            self.operators += [
                str(node.target) for node in graph.graph.nodes if "cosgrad" in str(node.target)
            ]
            return make_boxed_func(graph.forward)

        return aot_autograd(fw_compiler=record, bw_compiler=record)(graph, example)


def traced(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def test_forward_and_backward(function, pair):
    compiled = traced(function)
    out, expected = compiled(*pair), function(*pair)
    torch.testing.assert_close(out, expected, rtol=1e-14, atol=1e-15)
    got = torch.autograd.grad(out.sum(), pair)
    torch.testing.assert_close(got, torch.autograd.grad(expected.sum(), pair), rtol=1e-14, atol=1e-15)


def test_half_types(torch_dtype, pair):
    x, y = (t.detach().to(torch_dtype).requires_grad_() for t in pair)
    loss, expected = traced(C.cosine_distance_loss)(x, y), C.cosine_distance_loss(x, y)
    assert torch.equal(loss, expected)
    got = torch.autograd.grad(loss, (x, y))
    torch.testing.assert_close(got, torch.autograd.grad(expected, (x, y)), rtol=0, atol=0)


def test_native_operators_both_ways(pair):
    graphs = Graphs()
    torch.compile(C.cosine_distance_loss, fullgraph=True, backend=graphs)(*pair).backward()
    assert graphs.operators == ["cosgrad.distance.default", "cosgrad.gradient.default"]


@pytest.mark.parametrize("name", ["similarity", "mean loss"])
def test_the_default_backend(name, pair):
    function = FUNCTIONS[name]
    out, expected = torch.compile(function, fullgraph=True)(*pair), function(*pair)
    torch.testing.assert_close(out, expected, rtol=1e-14, atol=1e-15)
    got = torch.autograd.grad(out.sum(), pair)
    torch.testing.assert_close(got, torch.autograd.grad(expected.sum(), pair), rtol=1e-14, atol=1e-15)


def test_broadcast_and_dynamic_shapes(seed):
    compiled = torch.compile(C.cosine_similarity, fullgraph=True, backend="aot_eager", dynamic=True)
    x, y = matrices(seed)
    for n in (2, 3, 4):
        a, b = x[:n, None].clone().requires_grad_(), y.clone().requires_grad_()
        out, expected = compiled(a, b, -1), C.cosine_similarity(a, b, -1)
        torch.testing.assert_close(out, expected, rtol=0, atol=0)
        got = torch.autograd.grad(out.sum(), (a, b))
        torch.testing.assert_close(got, torch.autograd.grad(expected.sum(), (a, b)), rtol=0, atol=0)


def test_excluded_rows(pair):
    x, y = (t.detach().clone() for t in pair)
    x[1, 0] = float("nan")
    x.requires_grad_()
    w = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=x.dtype)
    loss = traced(lambda x: C.cosine_distance_loss(x, y, weights=w))(x)
    g = torch.autograd.grad(loss, x)[0]
    assert (g[1] == 0).all()
    assert g.isfinite().all()
    g = traced(grad(lambda x: C.cosine_distance_loss(x, y, weights=w)))(x.detach())
    assert (g[1] == 0).all()
    assert g.isfinite().all()


TRANSFORMS = {
    "grad": lambda f: grad(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    "jvp": lambda f: lambda x, y: jvp(f, (x, y), (y, x)),
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "vmap": lambda f: vmap(f, (None, 0)),
    "vmap of grad": lambda f: vmap(grad(lambda x, y: f(x, y).sum(), 1), (None, 0)),
}


@pytest.fixture(params=list(TRANSFORMS))
def transformation(request):
    return TRANSFORMS[request.param]


@pytest.mark.parametrize("name", ["similarity", "distance", "normalize", "mean loss"])
def test_transforms(name, transformation, pair):
    x, y = (t.detach() for t in pair)
    function = transformation(
        FUNCTIONS[name] if name != "similarity" else lambda x, y: C.cosine_similarity(x, y, -1)
    )
    expected = function(x, y)
    assert all(t.abs().max() > 1e-3 for t in torch.utils._pytree.tree_leaves(expected))
    torch.testing.assert_close(traced(function)(x, y), expected, rtol=1e-12, atol=1e-14)


def test_hessian(pair):
    x, y = (t.detach() for t in pair)
    function = hessian(lambda x: C.cosine_similarity(x, y).sum())
    torch.testing.assert_close(traced(function)(x), function(x), rtol=1e-11, atol=1e-13)


def tangent(function, x, y):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(x, y), y)).tangent


@pytest.mark.parametrize("function", [C.cosine_similarity, C.cosine_distance, lambda x, y: C.normalize(x)])
def test_forward_mode(function, pair):
    x, y = (t.detach() for t in pair)
    expected = tangent(function, x, y)
    torch.testing.assert_close(
        traced(lambda x, y: tangent(function, x, y))(x, y), expected, rtol=1e-12, atol=1e-14
    )
    torch.testing.assert_close(tangent(traced(function), x, y), expected, rtol=1e-12, atol=1e-14)


def test_compiled_double_backward_is_refused(pair):
    # PyTorch refuses this only for tensors with memory of their own. For two halves of one tensor it loses
    # the graph.
    pair = tuple(t.detach().clone().requires_grad_() for t in pair)
    g = torch.autograd.grad(traced(C.cosine_similarity)(*pair).sum(), pair, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        torch.autograd.grad(g[0].sum(), pair)


def test_other_devices_compile_to_closed_forms(pair):
    x, y = (t.detach().to("meta") for t in pair)
    assert traced(C.cosine_distance_loss)(x, y).shape == ()


@pytest.mark.parametrize("strict", [False, True])
def test_losses_export_for_any_batch(strict, seed):
    class Loss(torch.nn.Module):
        def forward(self, x, y):
            return C.cosine_distance_loss(x, y)

    x, y = matrices(seed)
    B = torch.export.Dim("B")
    program = torch.export.export(Loss(), (x, y), dynamic_shapes=({0: B}, {0: B}), strict=strict)
    x, y = torch.randn(2, 20000, x.shape[1], generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    torch.testing.assert_close(program.module()(x, y), C.cosine_distance_loss(x, y))


def test_weights_of_a_fixed_size_in_a_dynamic_graph(seed):
    x, y = matrices(seed)
    w = torch.ones(len(x), dtype=x.dtype)
    compiled = torch.compile(
        lambda a, b: C.cosine_distance_loss(a, b, weights=torch.ones(4, dtype=a.dtype)),
        fullgraph=True,
        dynamic=True,
        backend="eager",
    )
    torch.testing.assert_close(compiled(x, y), C.cosine_distance_loss(x, y, weights=w))


@pytest.mark.parametrize("dtype_name", ["bfloat16", "float64"])  # computed in float32, in float64
def test_the_closed_forms_keep_their_range(dtype_name):
    """Check components from the least to the largest number, through the default backend."""
    rows, dtype = ranges.rows(dtype_name, 64), getattr(torch, dtype_name)
    x, y, g = (torch.tensor(t).to(dtype) for t in (rows.x, rows.y, rows.g))

    @torch.compile(fullgraph=True)
    def function(x, y, g):
        S, D = formulas.similarity_and_distance(OPS, x, y, 1, 0.0)
        return S, D, formulas.normalize(OPS, x, 1, 0.0), formulas.gradient(OPS, x, y, g, 1, 0.0)[0]

    names = ("S", "D", "unit", "gx")
    got = {name: t.double().numpy() for name, t in zip(names, function(x, y, g), strict=True)}
    rows.check(dtype_name, False, **got)

"""Tests of the registered operators: PyTorch's own check of each, fake and meta tensors, export, tracing."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, hessian, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch_cases import FUNCTIONS, matrices

import cosgrad.torch as C

OPS = torch.ops.cosgrad
CALLS = {
    "similarity": lambda x, y, g: (OPS.similarity, (x, y, 2, 1e-8)),
    "distance": lambda x, y, g: (OPS.distance, (x, y, 2, 0.0, True)),
    "both": lambda x, y, g: (OPS.similarity_and_distance, (x, y, 2, 0.0)),
    "gradient": lambda x, y, g: (OPS.gradient, (x, y, g, 2, 0.0, "distance")),
    "gradient in y": lambda x, y, g: (OPS.gradient, (x, y, g, 2, 0.0, "similarity", True, False, True)),
    "normalize": lambda x, y, g: (OPS.normalize, (x, 2, 1e-12)),
    "normalize_gradient": lambda x, y, g: (OPS.normalize_gradient, (x, y[:1, :1].expand_as(x), 2, 0.0)),
}


@pytest.fixture(params=list(CALLS))
def call(request, seed, torch_dtype):
    x, y = matrices(seed, torch_dtype)
    g = x[:, :3].t().clone()
    x, y, g = (t.clone().requires_grad_() for t in (x[None], y[:3, None], g))
    op, arguments = CALLS[request.param](x, y, g)
    return op.default, tuple(
        a.detach().clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in arguments
    )


def test_opcheck(call):
    torch.library.opcheck(*call)


def test_vmap_of_an_operator_is_one_call(call, seed):
    op, arguments = call
    arguments = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
    where = tuple(0 if isinstance(a, torch.Tensor) else None for a in arguments)
    stacked = [torch.stack([a, -2 * a]) if isinstance(a, torch.Tensor) else a for a in arguments]
    mapped = vmap(op, where)(*stacked)
    leaves = torch.utils._pytree.tree_leaves
    single = op(*(a[1] if isinstance(a, torch.Tensor) else a for a in stacked))
    for m, s in zip(leaves(mapped), leaves(single), strict=True):
        torch.testing.assert_close(m[1], s, rtol=0, atol=0)


def test_the_closed_kernels_agree(call):
    op, arguments = call
    arguments = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
    kernel = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)
    leaves = torch.utils._pytree.tree_leaves
    meta = op(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments))
    native = leaves(op(*arguments))
    closed = leaves(op.redispatch(kernel, *arguments))
    eps = 4 * torch.finfo(arguments[0].dtype).eps
    torch.testing.assert_close(closed, native, rtol=eps, atol=eps)
    assert [(t.shape, t.dtype) for t in leaves(meta)] == [(t.shape, t.dtype) for t in native]


@pytest.mark.parametrize(
    "name", ["similarity", "distance", "normalize", "mean loss"]
)  # the other functions hold constants on the CPU
def test_meta(name, seed):
    function = FUNCTIONS[name]
    x, y = (t.to("meta").requires_grad_() for t in matrices(seed))
    out = function(x, y)
    assert out.is_meta
    assert torch.autograd.grad(out.sum(), x)[0].shape == x.shape
    assert hessian(lambda x: function(x, y.detach()).sum())(x.detach()).is_meta


def test_fake(function, seed):
    x, y = matrices(seed)
    real = function(x, y)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        a, b = (mode.from_tensor(t).requires_grad_() for t in (x, y))
        out = function(a, b)
        assert type(out).__name__ == "FakeTensor"
        assert (out.shape, out.dtype) == (real.shape, real.dtype)
        assert torch.autograd.grad(out.sum(), a)[0].shape == x.shape


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 5, dtype=torch.float64)
        self.loss = C.nn.CosineDistanceLoss()

    def forward(self, x, y):
        z = self.layer(x)
        pairs = C.cosine_embedding_loss(z, y, torch.ones(4))
        return self.loss(C.normalize(z), y) + C.cosine_similarity(z, y).sum() + pairs


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict, seed):
    x, y = matrices(seed)
    torch.manual_seed(seed)
    model = Model()
    exported = torch.export.export(model, (x, y), strict=strict)
    torch.testing.assert_close(exported.module()(x, y), model(x, y), rtol=0, atol=0)
    names = {str(node.target) for node in exported.graph.nodes if "cosgrad" in str(node.target)}
    assert names == {
        f"cosgrad.{op}.default" for op in ("similarity", "distance", "normalize", "similarity_and_distance")
    }


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_tracing(seed):
    x, y = matrices(seed)
    traced = torch.jit.trace(lambda x, y: C.cosine_similarity(x, y), (x, y))
    torch.testing.assert_close(traced(y, x[:1]), C.cosine_similarity(y, x[:1]), rtol=0, atol=0)


@pytest.mark.parametrize(
    "transformation", [lambda f: f, vmap, lambda f: vmap(grad(f)), lambda f: vmap(hessian(f))]
)
def test_make_fx(transformation, seed):
    x, y = matrices(seed)
    function = transformation(lambda x, y: C.cosine_similarity(x, y, -1))
    graph = make_fx(function)(x, y)
    torch.testing.assert_close(graph(y, x), function(y, x))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_unknown_quantity_is_refused(device):
    """Check that a misspelt quantity is refused: the gradient of the distance would have the wrong sign."""
    x, y, g = torch.ones(4, 3, device=device), torch.ones(4, 3, device=device), torch.ones(4, device=device)
    with pytest.raises(ValueError, match="what='Distance' must be one of 'similarity', 'distance'"):
        OPS.gradient(x, y, g, 1, 0.0, "Distance")

"""Tests of tensors that are not plain: meta, fake, wrapped, inference mode, functionalized, empty."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functionalize, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves, tree_map

import cosgrad.torch as C


def _labels(y: Tensor) -> Tensor:
    """Return the labels 1, 0, 1, 0 in a tensor of the kind of y."""
    return torch.ones_like(y[:, 0]).cumsum(0).long() % 2


ROWS = {
    "similarity": lambda x, y: C.cosine_similarity(x, y),
    "broadcast similarity": lambda x, y: C.cosine_similarity(x, y[:1]),
    "distance": lambda x, y: C.cosine_distance(x, y, keepdim=True),
    "normalize": lambda x, y: C.normalize(x),
    "normalize all": lambda x, y: C.normalize(x, dim=None),
    "similarity matrix": C.pairwise_cosine_similarity,
    "distance matrix": lambda x, y: C.pairwise_cosine_distance(x),
}
LOSSES = {
    "loss": C.cosine_distance_loss,
    "weighted loss": lambda x, y: C.cosine_distance_loss(
        x, y, weights=y[:, 0].abs(), reduction="weighted_mean"
    ),
    "loss with a number": lambda x, y: C.cosine_distance_loss(x, y, weights=0.5),
    "loss of unit vectors": lambda x, y: C.cosine_distance_loss(x, y, assume_normalized=True),
    "weighted loss of unit vectors": lambda x, y: C.cosine_distance_loss(
        x, y, weights=0.5, assume_normalized=True
    ),
    "embedding loss": lambda x, y: C.cosine_embedding_loss(x, y, torch.ones_like(y[:, 0])),
    "contrastive loss": C.contrastive_loss,
    "contrastive loss of labels": lambda x, y: C.contrastive_loss(
        x, y, labels_x=_labels(y), labels_y=_labels(y), temperature=y[0, 0].abs() + 1
    ),
    "nt_xent": lambda x, y: C.nt_xent_loss(x),
    "sigmoid loss": lambda x, y: C.sigmoid_contrastive_loss(x, y, scale=y[0, 0].abs()),
}
ALL = ROWS | LOSSES


@pytest.fixture(params=list(ALL))
def f(request):
    return ALL[request.param]


@pytest.fixture(params=[torch.float32, torch.float64])
def pair(request, seed):
    x, y = torch.randn(2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.to(request.param), y.to(request.param)


class Wrapped(Tensor):
    """A wrapper without memory, like sharded and quantized tensors."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        self = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, requires_grad=inner.requires_grad
        )
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(lambda t: t.inner if isinstance(t, Wrapped) else t, (args, kwargs or {}))
        return tree_map(lambda t: Wrapped(t) if isinstance(t, Tensor) else t, func(*args, **kwargs))


class Overriding(Wrapped):
    """The same wrapper, with the default override of `Tensor` for functions of tensors."""

    __torch_function__ = Tensor.__torch_function__


def _gradient(f, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(f(x, y).sum(), x, create_graph=True)
    return g


def test_meta(f, pair):
    x, y = pair
    a, b = x.to("meta"), y.to("meta")
    total = lambda a: f(a, b).sum()  # noqa: E731 -- a name for five uses
    out = f(a, b)
    assert out.is_meta
    assert (out.shape, out.dtype) == (f(x, y).shape, x.dtype)
    for g in (_gradient(f, a, b), grad(total)(a), jvp(total, (a,), (a,))[1], hessian(total)(a)):
        assert g.is_meta
        assert g.dtype is a.dtype


def test_modules_on_meta_and_of_fake_tensors_are_printed():
    with torch.device("meta"):
        modules = C.nn.ContrastiveLoss(learnable=True), C.nn.SigmoidContrastiveLoss(learnable=True)
    with FakeTensorMode():
        modules = *modules, C.nn.ContrastiveLoss(learnable=True)
    for module in modules:
        assert "=?" in repr(module)
    assert "temperature=0.07" in repr(C.nn.ContrastiveLoss(learnable=True))


def test_fake_tensors_outside_their_mode(f, pair):
    x, y = pair
    with FakeTensorMode() as mode:
        a, b = mode.from_tensor(x), mode.from_tensor(y)
    if f is LOSSES["contrastive loss of labels"]:
        return  # the temperature of this loss is computed from a value
    out, real = f(a, b), f(x, y)
    assert type(out).__name__ == "FakeTensor"
    assert (out.shape, out.dtype) == (real.shape, real.dtype)


@pytest.mark.parametrize("kind", [Wrapped, Overriding])
def test_wrappers_without_memory(f, pair, kind):
    x, y = pair
    out = f(kind(x.clone()), kind(y.clone()))
    assert_close(out.inner, f(x, y))
    a = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(a, Wrapped(y.clone())).sum(), a)
    assert_close(g.inner if isinstance(g, Wrapped) else g, _gradient(f, x, y).detach())


def test_the_kernel_refuses_a_tensor_without_memory(pair):
    x, _ = pair
    wrapped = Wrapped(x)
    with torch._C._DisableTorchDispatch(), pytest.raises(RuntimeError, match="must not reach the CPU kernel"):
        torch.ops.cosgrad.normalize(wrapped, 1, 0.0)


def test_a_constant_of_inference_mode(f, pair):
    x, y = pair
    with torch.inference_mode():
        constant = y.clone()
    assert constant.is_inference()
    g = _gradient(f, x, constant)
    assert_close(g, _gradient(f, x, y), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["cosine_similarity", "cosine_distance_loss", "contrastive_loss", "sigmoid_contrastive_loss"]
)
def test_what_is_saved_of_inference_mode_is_a_copy(name, pair):
    x, y = pair
    a = x.clone().requires_grad_()
    with torch.inference_mode():
        constant = y.clone()
    out = getattr(C, name)(a, constant).sum()
    with torch.inference_mode():
        constant.zero_()
    assert_close(torch.autograd.grad(out, a)[0], _gradient(getattr(C, name), x, y).detach())


def test_functionalize(f, pair):
    x, y = pair
    total = lambda a: f(a, y).sum()  # noqa: E731 -- a name for five uses
    assert_close(functionalize(f)(x, y), f(x, y))
    g = _gradient(f, x, y).detach()
    for transformed in (functionalize(grad(total)), grad(functionalize(total))):
        assert_close(transformed(x), g)
    assert_close(functionalize(vmap(f))(x[None], y[None])[0], f(x, y))


@pytest.mark.parametrize("f", ROWS.values(), ids=list(ROWS))
def test_vmap_over_no_elements(f, pair):
    x, y = (t.new_empty(0, *t.shape) for t in pair)
    assert vmap(f)(x, y).shape == (0, *f(*pair).shape)
    total = lambda a, b: f(a, b).sum()  # noqa: E731 -- a name for two uses
    assert vmap(grad(total))(x, y).shape == x.shape
    assert vmap(f, (0, None))(x, pair[1]).shape == (0, *f(*pair).shape)


@pytest.mark.parametrize("f", LOSSES.values(), ids=list(LOSSES))
def test_vmap_of_a_loss_over_no_elements(f, pair):
    x, y = (t.new_empty(0, *t.shape) for t in pair)
    with pytest.raises(RuntimeError, match="skip the empty batch"):
        vmap(lambda a, b: f(a, pair[1]))(x, y)


def test_views_with_a_delayed_negation(f, pair):
    x, y = pair
    lazy = torch._neg_view(x)
    assert lazy.is_neg()
    assert_close(f(lazy, y), f(-x, y))
    total = lambda a: f(a, y).sum()  # noqa: E731 -- a name for two uses
    assert_close(hessian(total)(lazy), hessian(total)(-x))


def test_zeros_without_memory(f, pair):
    x, y = pair
    zeros = torch._efficientzerotensor(x.shape, dtype=x.dtype)
    assert_close(f(zeros, y), f(torch.zeros_like(x), y))


@pytest.mark.parametrize("shape", [(), (6,), (1, 6), (3, 6), (1, 1, 6)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_derivatives_have_the_dtype_of_the_arguments(shape, dtype, seed):
    x, y, u = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    wide = torch.ones((), dtype=torch.float64)
    functions = [
        lambda a: C.cosine_similarity(a, y, -1),
        lambda a: C.normalize(a, dim=-1),
        C.cosine_distance_loss,
        lambda a: C.cosine_distance_loss(a, y, weights=wide, reduction="weighted_mean"),
        lambda a: C.cosine_distance_loss(a, y, weights=0.5, reduction="none"),
        lambda a: C.cosine_distance_loss(a, y, weights=wide, assume_normalized=True),
        lambda a: C.cosine_embedding_loss(a, y, -wide, margin=-0.9),
    ]
    functions[2] = lambda a: C.cosine_distance_loss(a, y)
    if len(shape) > 1:
        functions += [lambda a: C.pairwise_cosine_distance(a, y)]
    if len(shape) == 2:
        functions += [
            lambda a: C.contrastive_loss(a, y, temperature=wide),
            lambda a: C.sigmoid_contrastive_loss(a, y, bias=wide),
        ]
    for f in functions:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, u)
            forward = tuple(torch.autograd.forward_ad.unpack_dual(f(dual)))
        nested = jvp(lambda a: jvp(f, (a,), (u,)), (x,), (u,))  # noqa: B023 -- called at once
        found = jvp(f, (x,), (u,)), jacfwd(f)(x), jacrev(f)(x), nested, forward
        assert {t.dtype for t in tree_leaves(found)} == {dtype}


@pytest.mark.parametrize("dim", [None, (), (0, 2), [-1, 0], (1,), (2, 1, 0)])
def test_normalize_over_several_dimensions(dim, seed):
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    axes = tuple(dim) if dim else (0, 1, 2)
    reference = lambda x: x / x.square().sum(axes, keepdim=True).sqrt()  # noqa: E731 -- a name for two uses
    for f in (
        lambda x: C.normalize(x, dim=dim),
        torch.compile(lambda x: C.normalize(x, dim=dim), backend="eager"),
    ):
        assert_close(f(x), reference(x))
    assert_close(
        _gradient(lambda x, _: C.normalize(x, dim=dim).sin(), x, x),
        _gradient(lambda x, _: reference(x).sin(), x, x),
    )
    # One vector of all elements has exactly the result of the kernel.
    assert_close(C.normalize(x, dim=None).flatten(), C.normalize(x.flatten(), dim=0), rtol=0, atol=0)
    assert_close(vmap(lambda x: C.normalize(x, dim=None))(x), C.normalize(x, dim=(1, 2)), rtol=0, atol=0)
    assert C.normalize(torch.zeros(0, 3), dim=None).shape == (0, 3)
    assert C.normalize(torch.tensor(-3.0), dim=None) == -1

"""Tests of hooks on saved tensors around every function: checkpoints, offloading and compiled autograd."""

import functools

import pytest
import torch
import torch._dynamo.compiled_autograd
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from torch_cases import FUNCTIONS

import cosgrad.torch as C

LABELS = torch.tensor([0, 1, 0, 1])
IGNORE = torch.eye(4).roll(1, 0) > 0
EVERY = FUNCTIONS | {
    "pairwise similarity": C.pairwise_cosine_similarity,
    "pairwise distance": lambda x, y: C.pairwise_cosine_distance(x),
    "contrastive": C.contrastive_loss,
    "contrastive, labels": lambda x, y: C.contrastive_loss(
        x, y, labels_x=LABELS, labels_y=LABELS, ignore=IGNORE, symmetric=False
    ),
    "contrastive, one tensor": lambda x, y: C.contrastive_loss(x, x),
    "views": lambda x, y: C.nt_xent_loss(x),
    "sigmoid": C.sigmoid_contrastive_loss,
    "module": C.nn.ContrastiveLoss(learnable=True),
    "sigmoid module": C.nn.SigmoidContrastiveLoss(learnable=True),
}


def selective(policy):
    return functools.partial(create_selective_checkpoint_contexts, lambda *_, **__: policy)


def checkpointed(**options):
    return lambda f: lambda x, y: checkpoint(f, x, y, **options)


def under(context):
    def wrapped(f):
        def call(x, y):
            with context():
                return f(x, y)

        return call

    return wrapped


WAYS = {
    "checkpoint": checkpointed(use_reentrant=False),
    "reentrant": checkpointed(use_reentrant=True),
    "recompute all": checkpointed(use_reentrant=False, context_fn=selective(CheckpointPolicy.MUST_RECOMPUTE)),
    "save all": checkpointed(use_reentrant=False, context_fn=selective(CheckpointPolicy.MUST_SAVE)),
    "save_on_cpu": under(save_on_cpu),
    "copies": under(lambda: saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t.clone())),
    "no hooks": under(lambda: torch.autograd.graph.disable_saved_tensors_hooks("none here")),
}


@pytest.fixture(params=list(EVERY))
def f(request):
    return EVERY[request.param]


@pytest.fixture
def pair(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 4, dtype=torch.float64, generator=generator).unbind()


def run(f, pair, *, twice=False):
    """Return the value and its gradients, and with `twice` the gradients of a sum over these gradients."""
    x, y = (t.clone().requires_grad_() for t in pair)
    out = f(x, y).sum()
    results = [out.detach()]
    first = torch.autograd.grad(out, (x, y), retain_graph=True, materialize_grads=True)
    results += torch.autograd.grad(out, (x, y), materialize_grads=True, create_graph=twice)
    if twice:
        for a, b in zip(first, results[1:], strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=1e-10, atol=1e-12)
        total = sum(g.sin().sum() for g in results[1:] if g.requires_grad)
        results += torch.autograd.grad(total, (x, y), materialize_grads=True)
    return [t.detach() for t in results]


@pytest.mark.parametrize("way", list(WAYS))
def test_hooks_change_nothing(f, way, pair):
    if way == "reentrant":  # it does not support torch.autograd.grad
        x, y = (t.clone().requires_grad_() for t in pair)
        WAYS[way](f)(x, y).sum().backward()
        got = [torch.zeros_like(t) if t.grad is None else t.grad for t in (x, y)]
        want = run(f, pair)[1:]
    elif way.startswith("save_on") or way in ("copies", "no hooks"):
        got, want = run(WAYS[way](f), pair, twice=True), run(f, pair, twice=True)
    else:
        x, y = (t.clone().requires_grad_() for t in pair)
        got = torch.autograd.grad(WAYS[way](f)(x, y).sum(), (x, y), materialize_grads=True)
        want = run(f, pair)[1:]
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_what_is_packed_is_unpacked_at_most_once(f, pair):
    packed, unpacked = [], []

    def pack(t):
        packed.append(t)
        return len(packed) - 1

    def unpack(i):
        unpacked.append(i)
        return packed[i]

    x, y = (t.clone().requires_grad_() for t in pair)
    with saved_tensors_hooks(pack, unpack):
        loss = f(x, y).sum()
    loss.backward()
    assert unpacked
    assert len(set(unpacked)) == len(unpacked)


def test_hooks_on_gradients(f, pair):
    x, y = (t.clone().requires_grad_() for t in pair)
    seen = []
    torch.autograd.graph.register_multi_grad_hook((x, y), seen.append)
    f(x, y).sum().backward()
    assert len(seen) == 1


# The compiler itself causes this warning.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled_autograd(f, pair):
    want = run(f, pair)[1:]
    x, y = (t.clone().requires_grad_() for t in pair)
    loss = f(x, y).sum()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        loss.backward()
    for t, g in zip((x, y), want, strict=True):
        torch.testing.assert_close(torch.zeros_like(t) if t.grad is None else t.grad, g)


@pytest.mark.parametrize("name", ["contrastive", "sigmoid"])
def test_a_recorded_gradient_of_y_that_depends_on_x(name, pair):
    """Check that create_graph=True counts the path through y once, as a call without it does."""

    def gradient(*, recorded):
        x = pair[0].clone().requires_grad_()
        loss = EVERY[name](x, x.sin())
        return torch.autograd.grad(loss, x, create_graph=recorded)[0].detach()

    torch.testing.assert_close(gradient(recorded=True), gradient(recorded=False), rtol=1e-10, atol=1e-12)


def test_masks_that_change_before_a_second_derivative_are_refused(pair):
    x, y = (t.clone().requires_grad_() for t in pair)
    ignore = IGNORE.clone()
    loss = C.contrastive_loss(x, y, ignore=ignore)
    ignore.fill_(True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, x, create_graph=True)

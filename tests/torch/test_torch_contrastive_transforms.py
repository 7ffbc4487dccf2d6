"""Tests of derivatives of every order and mode of the contrastive losses, and of their operator."""

import pytest
import torch

import cosgrad.torch as C

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 5]), torch.tensor([0, 1, 2, 2, 1, 7, 7, 0, 1])


def inputs(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, 5, dtype=torch.float64, generator=generator) for n in (7, 9))
    return x, y, torch.rand(7, 9, generator=generator) < 0.2


def losses(seed):
    x, y, ignore = inputs(seed)
    t, b = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)
    labels = {"labels_x": LABELS[0], "labels_y": LABELS[1], "ignore": ignore}
    return {
        "symmetric": (lambda x, y, t: C.contrastive_loss(x, y, temperature=t), (x, y[:7], t)),
        "rows": (lambda x, y, t: C.contrastive_loss(x, y, temperature=t, symmetric=False), (x, y, t)),
        "labels": (lambda x, y, t: C.contrastive_loss(x, y, temperature=t, **labels), (x, y, t)),
        "views": (lambda z, t: C.nt_xent_loss(z, temperature=t), (x[:6], t)),
        "supervised": (lambda z, t: C.nt_xent_loss(z, LABELS[0], temperature=t), (x, t)),
        "sigmoid": (lambda x, y, s, b: C.sigmoid_contrastive_loss(x, y, scale=s, bias=b), (x, y, t, b)),
    }


@pytest.fixture(params=["symmetric", "rows", "labels", "views", "supervised", "sigmoid"])
def case(request, seed):
    return losses(seed)[request.param]


def leaves(tensors):
    return tuple(t.clone().requires_grad_() for t in tensors)


def gradients(f, tensors):
    tensors = leaves(tensors)
    return torch.autograd.grad(f(*tensors), tensors)


def close(got, want):
    """Check equality up to the rounding of a few operations in float64 on numbers near 1."""
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)


def test_gradcheck_to_second_order(case):
    f, tensors = case
    assert torch.autograd.gradcheck(f, leaves(tensors))
    assert torch.autograd.gradgradcheck(f, leaves(tensors))


def test_backward_twice_and_a_cotangent(case):
    f, tensors = case
    tensors = leaves(tensors)
    loss = f(*tensors)
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    second = torch.autograd.grad(loss, tensors, torch.tensor(3.0, dtype=torch.float64))
    close(second, tuple(3 * g for g in first))


def test_function_transforms(case):
    f, tensors = case
    every = tuple(range(len(tensors)))
    want = gradients(f, tensors)
    close(torch.func.grad(f, every)(*tensors), want)
    directions = tuple(t.cos() for t in tensors)
    along = sum((g * u).sum() for g, u in zip(want, directions, strict=True))
    close(torch.func.jvp(f, tensors, directions)[1], along)
    stacked = torch.stack([tensors[0], 2 * tensors[0]])  # the loss does not depend on the scale
    mapped = torch.func.vmap(f, (0,) + (None,) * (len(tensors) - 1))(stacked, *tensors[1:])
    close(mapped, f(*tensors).expand(2))


def test_compiled_with_its_gradient(case):
    f, tensors = case
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    close(compiled(*tensors), f(*tensors))
    close(gradients(compiled, tensors), gradients(f, tensors))


def test_compiled_jvp(case):
    f, tensors = case
    directions = tuple(t.sin() for t in tensors)

    def along(*tensors):
        return torch.func.jvp(f, tensors, directions)[1]

    close(torch.compile(along, backend="aot_eager")(*tensors), along(*tensors))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_the_operator(biased, itself, dtype, seed):
    if biased and itself:
        pytest.skip("the sigmoid loss has two matrices")
    x, y, _ = inputs(seed)
    x, y = x[:6].to(dtype).requires_grad_(), y[:6].to(dtype).requires_grad_()
    scalars = (torch.tensor(3.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scale, bias = scalars
    args = (x, None if itself else y, scale, bias if biased else None, None, None, None, not itself)
    torch.library.opcheck(torch.ops.cosgrad.contrastive, args)


def test_meta_and_fake_tensors(seed):
    x, y, _ = inputs(seed)
    meta = x.to("meta").requires_grad_()
    loss = C.contrastive_loss(meta, y[:7].to("meta"), temperature=torch.tensor(0.1, device="meta"))
    loss.backward()
    assert loss.shape == ()
    assert meta.grad.shape == x.shape

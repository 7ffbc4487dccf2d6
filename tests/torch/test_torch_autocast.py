"""Tests that the functions return the dtypes of PyTorch's own functions under autocast."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode
from torch_cases import matrices

import cosgrad.torch as C
from cosgrad.torch._autocast import loss_dtype, row_dtype

HALF = [torch.float16, torch.bfloat16]
TARGET = torch.tensor([1, -1, -1, 1])
LOSSES = {
    "cosine_distance_loss": C.cosine_distance_loss,
    "weighted": lambda x, y: C.cosine_distance_loss(x, y, weights=torch.ones(4), reduction="weighted_mean"),
    "unreduced": lambda x, y: C.cosine_distance_loss(x, y, reduction="none"),
    "unit vectors": lambda x, y: C.cosine_distance_loss(x, y, assume_normalized=True),
    "cosine_embedding_loss": lambda x, y: C.cosine_embedding_loss(x, y, TARGET),
    "contrastive_loss": C.contrastive_loss,
    "nt_xent_loss": lambda x, y: C.nt_xent_loss(x) + 0 * y.sum().float(),
    "sigmoid_contrastive_loss": C.sigmoid_contrastive_loss,
    "CosineDistanceLoss": C.nn.CosineDistanceLoss(),
    "CosineEmbeddingLoss": lambda x, y: C.nn.CosineEmbeddingLoss()(x, y, TARGET),
    "ContrastiveLoss": C.nn.ContrastiveLoss(learnable=True),
    "SigmoidContrastiveLoss": C.nn.SigmoidContrastiveLoss(learnable=True),
}


@pytest.fixture
def pair(seed):
    return matrices(seed)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_half_types_is_that_of_the_same_numbers_in_float32(name, pair):
    loss = LOSSES[name]
    for dtype in HALF:
        x, y = (t.to(dtype) for t in pair)
        a, b = (t.float().requires_grad_() for t in (x, y))
        expected = loss(a, b)
        x.requires_grad_(), y.requires_grad_()
        with torch.autocast("cpu", dtype):
            got, mixed = loss(x, y), loss(x, y.float())
            with torch.autocast("cpu", enabled=False):
                assert loss(x, y).dtype == (torch.float32 if name == "nt_xent_loss" else dtype)
        assert got.dtype == mixed.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=2e-6, atol=1e-6)
        gradients = torch.autograd.grad(got.sum(), (x, y))
        expected = torch.autograd.grad(expected.sum(), (a, b))
        eps = torch.finfo(dtype).eps
        for g, e in zip(gradients, expected, strict=True):
            torch.testing.assert_close(g, e.to(dtype), rtol=eps, atol=eps * float(e.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_dtypes_stay(dtype, pair):
    x, y = (t.to(dtype) for t in pair)
    for loss in LOSSES.values():
        expected = loss(x, y)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(x, y), expected)


@pytest.mark.parametrize("name", ["cosine_distance_loss", "cosine_embedding_loss", "contrastive_loss"])
def test_compiled_losses_do_the_same(name, pair):
    x, y = (t.half() for t in pair)
    loss = LOSSES[name]

    def inside(x, y):
        with torch.autocast("cpu", torch.float16):
            return loss(x, y)

    with torch.autocast("cpu", torch.float16):
        expected = loss(x, y)
        outside = torch.compile(loss, backend="aot_eager", fullgraph=True)(x, y)
    got = torch.compile(inside, backend="aot_eager", fullgraph=True)(x, y)
    assert got.dtype == outside.dtype == torch.float32
    torch.testing.assert_close((got, outside), (expected, expected))
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["cosine_distance_loss", "cosine_embedding_loss", "contrastive_loss"])
def test_the_first_step_with_a_scaler_is_taken(name):
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 16)
    before = copy.deepcopy(model)
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu")
    with torch.autocast("cpu", torch.float16):
        x, y = model(torch.randn(64, 64)), model(torch.randn(64, 64))
        more = {"cosine_embedding_loss": {"target": torch.ones(64)}, "contrastive_loss": {"temperature": 0.5}}
        loss = getattr(C, name)(x, y, **more.get(name, {}))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(model.weight, before.weight)
    assert scaler.get_scale() == 65536


ROWS = {
    "cosine_similarity": (C.cosine_similarity, F.cosine_similarity),
    "cosine_distance": (C.cosine_distance, F.cosine_similarity),
    "normalize": (lambda x, y: C.normalize(x), lambda x, y: F.normalize(x)),
    "pairwise_cosine_similarity": (C.pairwise_cosine_similarity, F.cosine_similarity),
    "pairwise_cosine_distance": (C.pairwise_cosine_distance, F.cosine_similarity),
    "cosine_distance_loss": (
        C.cosine_distance_loss,
        lambda x, y: F.cosine_embedding_loss(x, y, torch.ones(4, device=x.device)),
    ),
}


@pytest.fixture
def autocast():
    """Return a function that enables autocast for a type of device.

    The machine may lack this device, because the tensors are fake.
    """
    devices = []

    def enable(device, dtype):
        devices.append((device, torch.get_autocast_dtype(device)))
        torch.set_autocast_enabled(device, True)
        torch.set_autocast_dtype(device, dtype)

    yield enable
    for device, dtype in devices:
        torch.set_autocast_enabled(device, False)
        torch.set_autocast_dtype(device, dtype)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ROWS)
def test_the_dtype_is_that_of_pytorch_on_the_same_device(name, device, autocast):
    ours, theirs = ROWS[name]
    for enabled in (False, True):
        if enabled:
            autocast(device, torch.float16)
        for dtype in (*HALF, torch.float32, torch.float64):
            with FakeTensorMode():
                x = torch.empty(4, 3, dtype=dtype, device=device)
                assert ours(x, x).dtype == theirs(x, x).dtype


def test_the_rule_of_a_device(autocast):
    autocast("xpu", torch.bfloat16)
    assert loss_dtype(torch.float16, "xpu") == row_dtype(torch.bfloat16, "xpu") == torch.float32
    assert loss_dtype(torch.float64, "xpu") == torch.float64
    for device in ("cpu", "cuda", "meta"):
        assert loss_dtype(torch.float16, device) == row_dtype(torch.float16, device) == torch.float16

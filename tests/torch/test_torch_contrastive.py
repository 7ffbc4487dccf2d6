"""Tests of the contrastive losses against their definition, and of behaviour that PyTorch users expect."""

import re

import contrastive_oracle as oracle
import numpy as np
import pytest
import torch

import cosgrad.torch as C
from cosgrad.torch._contrastive import problem, tiles

TEMPERATURES = [1e-3, 0.07, 1.0, 1e3]
SIZES = [(1, 1), (2, 2), (3, 3), (17, 17), (17, 30), (1000, 1000)]


def vectors(kind, n, m, rng, length=16):
    x = rng.standard_normal((n, length)).astype(np.float32)
    y = rng.standard_normal((m, length)).astype(np.float32)
    match kind:
        case "matched":
            y[:n] = x + np.float32(0.01) * y[:n]
        case "zero rows":
            x[0] = 0
            y[-1] = 0
        case "duplicates":
            x[n // 2 :] = x[: n - n // 2]
            y[-1] = y[0]
    return x, y


def leaves(*values):
    return [torch.as_tensor(v).requires_grad_() for v in values]


def run(f, *inputs):
    loss = f(*inputs)
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def within(got, want, temperature):
    """Check the loss and its gradients against their tolerances.

    The tolerance of the loss is 1e-6 and the rounding of a logit. The tolerance of a gradient is 1e-5 of its
    norm, and more at low temperatures.

    A gradient that is exactly zero is a difference of weights near 1. It is computed in float64, from logits
    with the same rounding.
    """
    assert abs(got[0].item() - want[0]) <= 1e-6 * max(want[0], 1) + 2**-22 / temperature
    for a, b in zip(got[1:], want[1:], strict=True):
        norm = np.linalg.norm(b)
        bound = 1e-5 * max(1, 0.07 / temperature) * norm + 1e-30
        if norm < 1e-100:
            bound = 2.0**-48 / temperature * max(1, 1 / temperature)
        assert np.linalg.norm(a.double().numpy() - b) <= bound


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", ["random", "matched", "zero rows", "duplicates"])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_info_nce(n, m, kind, temperature, rng):
    x, y = vectors(kind, n, m, rng)
    symmetric = n == m
    got = run(
        lambda x, y, t: C.contrastive_loss(x, y, temperature=t, symmetric=symmetric),
        *leaves(x, y, np.float64(temperature)),
    )
    within(got, oracle.contrastive(x, y, temperature=temperature, symmetric=symmetric), temperature)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("ignoring", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (17, 17), (17, 30), (300, 280)])
def test_labels_and_ignored_pairs(n, m, labelled, ignoring, symmetric, temperature, rng):
    if not labelled and (n > m or (symmetric and n != m)):
        pytest.skip("without labels every row needs its column")
    x, y = vectors("random", n, m, rng)
    options = {"symmetric": symmetric}
    if labelled:
        options |= {"labels_x": rng.integers(0, 5, n), "labels_y": rng.integers(0, 6, m)}
    if ignoring:
        options["ignore"] = rng.random((n, m)) < 0.3
        options["ignore"][0] = True  # a row without any pair
    want = oracle.contrastive(x, y, temperature=temperature, **options)
    given = {k: torch.as_tensor(v) if k != "symmetric" else v for k, v in options.items()}
    got = run(
        lambda x, y, t: C.contrastive_loss(x, y, temperature=t, **given),
        *leaves(x, y, np.float64(temperature)),
    )
    within(got, want, temperature)
    if ignoring:
        np.testing.assert_array_equal(got[1][0], 0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("n", [2, 6, 34, 600])
def test_views(n, labelled, temperature, rng):
    z, _ = vectors("random", n, n, rng)
    labels = rng.integers(0, max(n // 5, 2), n) if labelled else None
    given = None if labels is None else torch.as_tensor(labels)
    got = run(
        lambda z, t: C.nt_xent_loss(z, given, temperature=t),
        *leaves(z, np.float64(temperature)),
    )
    within(got, oracle.nt_xent(z, labels, temperature=temperature), temperature)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 10.0, 1e3, -2.0])
@pytest.mark.parametrize("kind", ["random", "matched", "zero rows"])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_sigmoid(n, m, kind, scale, rng):
    x, y = vectors(kind, n, m, rng)
    got = run(
        lambda x, y, s, b: C.sigmoid_contrastive_loss(x, y, scale=s, bias=b),
        *leaves(x, y, np.float64(scale), np.float64(-3)),
    )
    want = oracle.sigmoid_contrastive(x, y, scale=scale, bias=-3.0)
    within(got, want, 1 / max(abs(scale), 1e-3))


def test_a_batch_without_a_positive_has_loss_and_gradient_zero(rng):
    x, y = leaves(*vectors("random", 5, 5, rng))
    nobody = {"labels_x": torch.arange(5), "labels_y": torch.arange(5, 10)}
    for options in ({"ignore": torch.ones(5, 5, dtype=torch.bool)}, nobody):
        loss, *gradients = run(lambda x, y, o=options: C.contrastive_loss(x, y, **o), x, y)
        assert loss == 0
        assert not any(g.any() for g in gradients)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_empty(shape):
    x, y = leaves(np.ones(shape, np.float32), np.ones(shape, np.float32))
    for f in (C.contrastive_loss, C.sigmoid_contrastive_loss, lambda x, y: C.nt_xent_loss(torch.cat([x, y]))):
        loss, gx, gy = run(f, x, y)
        assert torch.isfinite(loss)
        assert gx.shape == gy.shape == shape


@pytest.mark.parametrize("n", [20, 300])
def test_a_row_that_is_ignored_changes_nothing(n, rng):
    x, y = vectors("random", n, n, rng)
    ignore = np.zeros((n, n), bool)
    ignore[3], ignore[:, 3] = True, True
    want = oracle.contrastive(x, y, ignore=ignore)
    x[3], y[3] = np.nan, np.inf
    loss, gx, gy = run(lambda x, y: C.contrastive_loss(x, y, ignore=torch.as_tensor(ignore)), *leaves(x, y))
    kept = np.arange(n) != 3
    within([loss, gx[kept], gy[kept]], [want[0], want[1][kept], want[2][kept]], 0.07)


def test_nan_is_not_hidden(rng):
    x, y = vectors("random", 6, 6, rng)
    x[2, 1] = np.nan
    loss, _, gy = run(C.contrastive_loss, *leaves(x, y))
    assert loss.isnan()
    assert gy.isnan().all()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("n", [17, 600])
def test_half_types_are_computed_wide(n, name, rng):
    dtype = getattr(torch, name)
    x, y = (torch.as_tensor(a).to(dtype).requires_grad_() for a in vectors("matched", n, n, rng))
    loss, gx, gy = run(C.contrastive_loss, x, y)
    want = oracle.contrastive(x.detach().double().numpy(), y.detach().double().numpy())
    assert loss.dtype == gx.dtype == gy.dtype == dtype
    unit = torch.finfo(dtype).eps / 2
    tiny = torch.finfo(dtype).smallest_normal * unit  # half of the spacing of subnormals
    for a, b in zip((loss, gx, gy), want, strict=False):
        a, b = a.double().numpy(), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=unit, atol=1e-6 * np.abs(b).max() + tiny)


def test_products_of_bfloat16(monkeypatch, rng):
    """Check products in bfloat16, which are used if the processor supports them. This test forces them."""
    monkeypatch.setattr(problem, "fast_bfloat16", lambda device: True)
    x, y = (torch.as_tensor(a).bfloat16().requires_grad_() for a in vectors("random", 600, 600, rng, 64))
    loss, gx, gy = run(C.contrastive_loss, x, y)
    want = oracle.contrastive(x.detach().double().numpy(), y.detach().double().numpy())
    # Unit vectors and logits up to 1 / 0.07 are rounded to 8 bits. The errors of these roundings are random.
    assert abs(loss.item() - want[0]) <= 2**-8 * want[0]
    for a, b in zip((gx, gy), want[1:3], strict=True):
        assert np.linalg.norm(a.double().numpy() - b) <= 2**-4 * np.linalg.norm(b)


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_only_what_is_needed(needed, rng):
    n = 300
    full = leaves(*vectors("random", n, n, rng), np.float64(0.07))
    f = lambda x, y, t: C.contrastive_loss(x, y, temperature=t)  # noqa: E731 (one line, three uses)
    _, *want = run(f, *full)
    some = [t.detach().requires_grad_(i in needed) for i, t in enumerate(full)]
    got = torch.autograd.grad(f(*some), [some[i] for i in needed])
    for i, g in zip(needed, got, strict=True):
        torch.testing.assert_close(g, want[i], rtol=1e-6, atol=0)


def products(f):
    with torch.profiler.profile(profile_memory=True) as profile:
        f()
    events = profile.events()
    count = sum(e.name in ("aten::mm", "aten::addmm", "aten::addmm_") for e in events)
    return count, max(e.self_cpu_memory_usage for e in events)


def test_the_matrix_never_exists():
    """Check the number of products and the largest allocation.

    There are two times two tiles, and each takes part in four products. No allocation has the size of the
    matrix.
    """
    n, side = 2 * tiles.ROWS, tiles.ROWS
    x, y = torch.randn(n, 8, requires_grad=True), torch.randn(n, 8, requires_grad=True)
    count, largest = products(lambda: C.contrastive_loss(x, y).backward())
    assert count == 4 * 4
    assert largest <= 2 * side * side * 4
    with torch.no_grad():
        count, _ = products(lambda: C.contrastive_loss(x, y))
    assert count == 4
    count, largest = products(lambda: C.sigmoid_contrastive_loss(x, y).backward())
    assert count == 3 * 4
    assert largest <= 2 * side * side * 4


def test_under_autocast(rng):
    x, y = (torch.as_tensor(a) for a in vectors("random", 300, 300, rng))
    want = C.contrastive_loss(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(C.contrastive_loss(x, y), want)
        mixed = C.contrastive_loss(x.bfloat16(), y)
    assert mixed.dtype == torch.float32


def test_modules(rng):
    x, y = (torch.as_tensor(a) for a in vectors("matched", 9, 9, rng))
    learned = C.nn.ContrastiveLoss(0.1, learnable=True)
    assert torch.equal(C.nn.ContrastiveLoss(0.1)(x, y), C.contrastive_loss(x, y, temperature=0.1))
    torch.testing.assert_close(learned(x, y), C.contrastive_loss(x, y, temperature=0.1))
    optimiser = torch.optim.SGD(learned.parameters(), lr=1e6)
    for _ in range(3):
        optimiser.zero_grad()
        learned(x, y).backward()
        optimiser.step()
    assert learned.temperature.item() >= 0.01 * (1 - 1e-6)
    sigmoid = C.nn.SigmoidContrastiveLoss(learnable=True)
    torch.testing.assert_close(sigmoid(x, y), C.sigmoid_contrastive_loss(x, y))
    sigmoid(x, y).backward()
    assert all(p.grad is not None and p.grad != 0 for p in sigmoid.parameters())
    assert "temperature=0.1" in repr(C.nn.ContrastiveLoss(0.1))
    assert "scale=10" in repr(sigmoid)


ONES = torch.ones(4, 3)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: C.contrastive_loss(ONES, ONES[:, :2]), ValueError, "must have rows of one length"),
    (lambda: C.contrastive_loss(ONES[0], ONES), ValueError, "x of shape (3,) must have two axes"),
    (lambda: C.contrastive_loss(ONES, ONES[:3]), ValueError, "y of shape (3, 3) must have as many rows as x"),
    (lambda: C.sigmoid_contrastive_loss(ONES, ONES[:3]), ValueError, "must have at least as many rows as x"),
    (lambda: C.nt_xent_loss(ONES[:3]), ValueError, "z of shape (3, 3) must have an even number of rows"),
    (lambda: C.contrastive_loss(ONES, ONES, temperature=0), ValueError, "temperature=0.0 must be finite"),
    (lambda: C.contrastive_loss(ONES, ONES, temperature=torch.tensor(torch.nan)), ValueError, "=nan"),
    (lambda: C.contrastive_loss(ONES, ONES, temperature=ONES), ValueError, "temperature of shape (4, 3)"),
    (lambda: C.contrastive_loss(ONES, ONES, temperature="hot"), TypeError, "temperature='hot'"),
    (lambda: C.sigmoid_contrastive_loss(ONES, ONES, bias=float("inf")), ValueError, "bias=inf"),
    (lambda: C.contrastive_loss(ONES, ONES, labels_x=torch.arange(4)), ValueError, "labels_y"),
    (lambda: C.contrastive_loss(ONES, ONES, labels_x=torch.arange(3), labels_y=torch.arange(4)),
     ValueError, "labels_x of shape (3,) must be of shape (4,)"),
    (lambda: C.nt_xent_loss(ONES, torch.ones(4)), TypeError, "labels is of dtype torch.float32"),
    (lambda: C.contrastive_loss(ONES, ONES, ignore=torch.ones(4, 4)), TypeError, "ignore is of dtype"),
    (lambda: C.contrastive_loss(ONES, ONES, ignore=ONES.bool()), ValueError, "ignore of shape (4, 3)"),
    (lambda: C.contrastive_loss(ONES, ONES, gradient_scale="max"), ValueError, "gradient_scale='max'"),
    (lambda: C.contrastive_loss(ONES.int(), ONES.int()), TypeError, "torch.int32"),
    (lambda: C.nt_xent_loss(ONES.int()), TypeError, "z is of dtype torch.int32"),
    (lambda: C.contrastive_loss(ONES, [1.0]), TypeError, "y is list, must be a tensor"),
    (lambda: C.nn.ContrastiveLoss(-1.0), ValueError, "temperature=-1.0"),
    (lambda: C.nn.SigmoidContrastiveLoss(bias=float("nan")), ValueError, "bias=nan"),
])  # fmt: skip
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()

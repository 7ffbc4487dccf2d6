"""Tests of the losses: values against the oracle, reductions, weights, exclusion."""

import pytest
import torch
import torch.nn.functional as F
from torch_cases import matrices, tensor

import cosgrad.torch as C
from cosgrad.verify import inputs, oracle

REDUCTIONS = ("sum", "mean", "weighted_mean", "nonzero_mean")


@pytest.fixture(params=REDUCTIONS)
def reduction(request):
    return request.param


@pytest.fixture
def rows(dtype_name, seed):
    return inputs.ordinary(seed, 17, dtype_name)


@pytest.fixture
def pair(rows, torch_dtype):
    return tensor(rows.x, torch_dtype, grad=True), tensor(rows.y, torch_dtype, grad=True)


def near(got, true, of):
    """Check a loss.

    Each distance is rounded once, and the result once more. The tolerance is four roundings, which includes
    the mean.
    """
    assert abs(got.item() - float(true)) <= 4 * torch.finfo(got.dtype).eps * of


def test_the_tutorials_tensors(torch_dtype):
    labels = torch.tensor([[1, 4, 5], [5, 5, 7]], dtype=torch_dtype)
    predictions = torch.tensor([[3, 2, 5], [3, 2, 7]], dtype=torch_dtype)
    near(C.cosine_distance_loss(labels, predictions, dim=1), 0.0771687014521354702, 0.1)
    assert C.cosine_distance_loss(labels, predictions, dim=1, assume_normalized=True) == -54


@pytest.mark.parametrize("weights", [None, [0.5, 0, 1, 2, 0, 0, 4, 1, 0.25]])
def test_value(pair, rows, reduction, weights):
    w = None if weights is None else torch.tensor(weights)
    true = oracle.reduce(rows.distances, weights, reduction)
    with torch.no_grad():
        quiet = C.cosine_distance_loss(*pair, weights=w, reduction=reduction)
    loss = C.cosine_distance_loss(*pair, weights=w, reduction=reduction)
    near(loss, true, max(abs(float(true)), 1))
    assert torch.equal(loss, quiet)
    assert loss.dtype == pair[0].dtype


@pytest.mark.parametrize("weights", [None, 0.5])
def test_gradient_is_that_of_the_distances(pair, rows, reduction, weights):
    loss = C.cosine_distance_loss(*pair, weights=weights, reduction=reduction)
    D = C.cosine_distance(*pair, eps=0.0)
    by_hand = {"sum": 1, "weighted_mean": 2 / len(rows)}.get(reduction, 1 / len(rows)) * (weights or 1)
    by_hand = 1 / len(rows) if weights is None and reduction != "sum" else by_hand
    expected = torch.autograd.grad(D, pair, torch.tensor(by_hand, dtype=D.dtype).expand_as(D))
    torch.testing.assert_close(torch.autograd.grad(loss, pair), expected, rtol=0, atol=0)


def test_unreduced(pair):
    w = torch.arange(9.0)
    D = C.cosine_distance(*pair, eps=0.0)
    losses = C.cosine_distance_loss(*pair, reduction="none")
    assert torch.equal(losses, D)
    weighted = C.cosine_distance_loss(*pair, weights=w, reduction="none")
    assert torch.equal(weighted, (w * D.double()).to(D.dtype))


@pytest.mark.parametrize("assume_normalized", [False, True])
def test_a_weight_of_zero_excludes_its_row(torch_dtype, assume_normalized, reduction, seed):
    x, y = matrices(seed, torch_dtype)
    x, y = C.normalize(x), C.normalize(y)
    x[1, 2], y[3, 0] = float("nan"), float("-inf")
    x.requires_grad_(), y.requires_grad_()
    w = torch.tensor([1.0, 0.0, 2.0, 0.0], requires_grad=True)
    options = {"reduction": reduction, "assume_normalized": assume_normalized}
    loss = C.cosine_distance_loss(x, y, weights=w, **options)
    gx, gy, gw = torch.autograd.grad(loss, (x, y, w), create_graph=True)
    clean = [t.detach()[[0, 2]].requires_grad_() for t in (x, y)]
    if reduction != "mean":
        expected = C.cosine_distance_loss(*clean, weights=w.detach()[[0, 2]], **options)
        assert torch.equal(loss, expected)
        torch.testing.assert_close([gx[[0, 2]], gy[[0, 2]]], list(torch.autograd.grad(expected, clean)))
    assert (gx[[1, 3]] == 0).all()
    assert (gy[[1, 3]] == 0).all()
    assert gw.isfinite().all()
    second = torch.autograd.grad((gx.sum() + gy.sum()) * 1, (x, y, w), allow_unused=True)
    assert all(g.isfinite().all() for g in second)


def test_a_row_that_is_not_excluded_spoils_the_loss(seed):
    x, y = matrices(seed)
    x[1, 2] = float("nan")
    x.requires_grad_()
    loss = C.cosine_distance_loss(x, y, weights=torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert loss.isnan()
    g = torch.autograd.grad(loss, x)[0]
    assert g[1].isnan().all()
    assert g[2:].isfinite().all()


def test_the_derivative_in_a_weight_is_its_distance(seed):
    x, y = matrices(seed)
    w = torch.tensor([0.0, 1.0, -2.0, 0.0], dtype=x.dtype, requires_grad=True)
    loss = C.cosine_distance_loss(x, y, weights=w, reduction="sum")
    assert torch.equal(torch.autograd.grad(loss, w)[0], C.cosine_distance(x, y, eps=0.0))


@pytest.mark.parametrize("weights", [None, 0.0])
def test_over_nothing_the_loss_is_zero(weights, reduction):
    shape = (0, 3) if weights is None else (2, 3)
    x, y = torch.ones(2, *shape).requires_grad_().unbind()
    loss = C.cosine_distance_loss(x, y, weights=weights, reduction=reduction)
    assert loss == 0
    assert (torch.autograd.grad(loss, x)[0] == 0).all()


@pytest.mark.parametrize(
    "weights", [2, 2.0, torch.tensor(2), torch.tensor([[2.0]]), torch.full((3, 1), 2.0)], ids=str
)
def test_weights_broadcast(weights, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 3, 4, 5, generator=generator)
    D = C.cosine_distance(x, y, -1, eps=0.0).double()
    means = {
        "sum": 2 * D.sum(),
        "mean": 2 * D.mean(),
        "weighted_mean": D.mean(),
        "nonzero_mean": 2 * D.mean(),
    }
    got = [C.cosine_distance_loss(x, y, weights=weights, reduction=r).double() for r in means]
    torch.testing.assert_close(got, list(means.values()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("target", [1, -1])
@pytest.mark.parametrize("margin", [0.0, 0.5, -1.0])
def test_embedding_loss(pair, rows, target, margin):
    losses = C.cosine_embedding_loss(*pair, torch.tensor(target), margin=margin, reduction="none")
    true = [oracle.embedding_loss(x, y, target, margin) for x, y in zip(rows.x, rows.y, strict=True)]
    expected = torch.tensor([float(t) for t in true], dtype=torch.float64)
    bound = 2 * torch.finfo(losses.dtype).eps
    torch.testing.assert_close(losses.detach().double(), expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("batch", [(), (4,)], ids=str)
def test_embedding_loss_drops_in(reduction, batch, seed):
    x, y = (t if batch else t[0] for t in matrices(seed))
    x.requires_grad_(), y.requires_grad_()
    target = torch.tensor([1, -1, 1, -1])[slice(None) if batch else 1]
    ours, theirs = (
        f(x, y, target, margin=0.1, reduction=reduction)
        for f in (C.cosine_embedding_loss, F.cosine_embedding_loss)
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(t.sum(), (x, y)) for t in (ours, theirs)))


def test_embedding_loss_where_a_row_is_not_finite(seed):
    x, y = matrices(seed)
    x[0, 0] = x[1, 0] = float("nan")
    losses = C.cosine_embedding_loss(x, y, torch.tensor([1, -1, 1, -1]), reduction="none")
    assert losses.isnan().tolist() == [True, True, False, False]


def test_a_number_for_a_weight_is_not_rounded_to_a_half_type(seed):
    x, y = (t.half() for t in matrices(seed))
    loss = C.cosine_distance_loss(x, y, weights=1e-8, reduction="weighted_mean")
    torch.testing.assert_close(loss, C.cosine_distance_loss(x, y))

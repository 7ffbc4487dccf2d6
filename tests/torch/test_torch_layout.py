"""Tests of strides, dims, broadcasting, promotion, scalars and empty tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn import Parameter
from torch_cases import matrices

import cosgrad.torch as C

SHAPES = [
    ((4, 5), (4, 5)),
    ((4, 1, 5), (3, 5)),
    ((5,), (2, 3, 5)),
    ((2, 3, 1), (1, 5)),
    ((), (4,)),
    ((2, 1, 5), (2, 3, 5)),
    ((1, 1), (3, 4)),
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.uint8, torch.bool]


def exact(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasting_is_expanding(shapes, generator):
    x, y = (torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes)
    S = C.cosine_similarity(x, y, -1)
    full = torch.broadcast_shapes(*shapes)
    a, b = (t.detach().expand(full).contiguous() for t in (x, y))
    exact(S, C.cosine_similarity(a, b, -1))
    assert S.shape == full[:-1]
    got = torch.autograd.grad(S.sum(), (x, y))
    a.requires_grad_(), b.requires_grad_()
    expected = torch.autograd.grad(C.cosine_similarity(a, b, -1).sum(), (a, b))
    close = {"rtol": 1e-13, "atol": 1e-15}
    torch.testing.assert_close(
        got, tuple(g.sum_to_size(s) for g, s in zip(expected, shapes, strict=True)), **close
    )


@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -4])
@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t,
        lambda t: t.contiguous(memory_format=torch.channels_last),
        lambda t: t.permute(3, 0, 2, 1),
        lambda t: t[:, ::2, 1:],
        lambda t: t[:, :, :1].expand(-1, -1, 4, -1),
        lambda t: t.as_strided((2, 2, 2, 2), (1, 2, 1, 3)),
    ],
    ids=["contiguous", "channels last", "permuted", "sliced", "expanded", "overlapping"],
)
def test_strides(layout, dim, generator, torch_dtype):
    x, y = (layout(t) for t in torch.randn(2, 2, 3, 4, 5, generator=generator).to(torch_dtype))
    g = torch.randn(C.cosine_distance(x, y, dim).shape, generator=generator).to(torch_dtype)
    pairs = [
        (x.detach().requires_grad_(), y.detach().requires_grad_()),
        (x.contiguous().requires_grad_(), y.contiguous().requires_grad_()),
    ]
    exact(C.cosine_similarity(*pairs[0], dim), C.cosine_similarity(*pairs[1], dim))
    exact(C.normalize(x, dim=dim), C.normalize(x.contiguous(), dim=dim))
    results = [torch.autograd.grad(C.cosine_distance(*p, dim), p, g) for p in pairs]
    exact(*results)
    S = C.cosine_distance(x.contiguous(), y, dim)
    torch.testing.assert_close(
        S.float(), 1 - F.cosine_similarity(x.double(), y.double(), dim).float(), rtol=1e-2, atol=1e-2
    )


def test_gradients_keep_the_memory_format(generator):
    x, y = torch.randn(2, 2, 3, 4, 5, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = y.transpose(0, 3).contiguous().transpose(0, 3).requires_grad_()
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y).sum(), (x, y))
    assert gx.stride() == x.stride()
    assert gy.stride() == y.stride()


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_keepdim(keepdim, dim, seed):
    x, y = matrices(seed)
    shape = list(x.shape)
    shape[dim] = 1
    S, D = (f(x, y, dim, keepdim=keepdim) for f in (C.cosine_similarity, C.cosine_distance))
    assert S.shape == D.shape == (torch.Size(shape) if keepdim else F.cosine_similarity(x, y, dim).shape)


@pytest.mark.parametrize("b", DTYPES, ids=str)
@pytest.mark.parametrize("a", DTYPES[:4], ids=str)
def test_promotion_is_pytorchs(a, b, seed):
    x, y = (t.abs().ceil() for t in matrices(seed))
    x, y = x.to(a), y.to(b)
    expected = F.cosine_similarity(x, y)
    for got in (C.cosine_similarity(x, y), C.cosine_similarity(y, x)):
        assert got.dtype == expected.dtype
        exact(got, C.cosine_similarity(x.double(), y.double()).to(got.dtype))


def test_promotion_of_a_scalar_tensor_is_that_of_the_function():
    x, y = torch.ones(3, 4, dtype=torch.float16), torch.tensor(1.0)
    assert C.cosine_similarity(x, y).dtype == F.cosine_similarity(x, y).dtype == torch.float32


def test_gradients_have_the_dtype_of_their_inputs(seed):
    x, y = matrices(seed)
    x, y = x.to(torch.bfloat16).requires_grad_(), y.requires_grad_()
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y).sum(), (x, y))
    assert (gx.dtype, gy.dtype) == (torch.bfloat16, torch.float64)


def test_scalars_are_vectors_of_length_one():
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(-3.0)
    S = C.cosine_similarity(x, y, 0)
    assert S.shape == ()
    assert S == -1
    assert C.cosine_distance(x, y, -1, keepdim=True).shape == ()
    assert torch.autograd.grad(S, x)[0] == 0
    assert C.normalize(x, dim=0) == 1


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0), (0,)], ids=str)
def test_empty_tensors(shape):
    x, y = torch.randn(2, *shape).requires_grad_().unbind()
    S, D = C.cosine_similarity(x, y, -1), C.cosine_distance(x, y, -1)
    assert S.shape == shape[:-1]
    assert (S == 0).all()
    assert (D == 1).all()
    assert torch.autograd.grad(D.sum(), x)[0].shape == shape
    assert C.normalize(x, dim=-1).shape == shape


@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_zero_vectors(eps, torch_dtype):
    x = torch.zeros(2, 3, dtype=torch_dtype, requires_grad=True)
    y = torch.tensor([[0, 0, 0], [0, 3, 4]], dtype=torch_dtype, requires_grad=True)
    assert (C.cosine_similarity(x, y, eps=eps) == 0).all()
    assert (C.cosine_distance(x, y, eps=eps) == 1).all()
    gx, gy = torch.autograd.grad(C.cosine_similarity(x, y, eps=eps).sum(), (x, y))
    wanted = torch.tensor([[0, 0, 0], [0, 0.6, 0.8]], dtype=torch.float64) / eps if eps else torch.zeros(2, 3)
    exact(gx, wanted.to(torch_dtype))
    assert (gy == 0).all()
    n = C.normalize(x, eps=eps)
    assert (n == 0).all()
    exact(torch.autograd.grad(n, x, y)[0], (y.double() / eps if eps else 0 * y.double()).to(torch_dtype))


def test_other_rows_do_not_see_nan(torch_dtype, seed):
    x, y = matrices(seed, torch_dtype)
    clean = C.cosine_similarity(x, y)
    x[1, 2], y[3, 0] = float("nan"), float("inf")
    a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
    S = C.cosine_similarity(a, b)
    exact(S[[0, 2]], clean[[0, 2]])
    assert S[[1, 3]].isnan().all()
    for g in torch.autograd.grad(S.sum(), (a, b)):
        assert g[[0, 2]].isfinite().all()
        assert g[[1, 3]].isnan().all()


def test_inputs_are_left_alone(function, seed):
    x, y = matrices(seed)
    before = x.clone(), y.clone()
    x.requires_grad_(), y.requires_grad_()
    function(x, y).sum().backward()
    exact((x.detach(), y.detach()), before)


def test_a_negation_put_off(seed):
    x, y = matrices(seed)
    z = torch.complex(y, x)
    negative = z.conj().imag
    assert negative.is_neg()
    exact(C.cosine_similarity(negative, y), C.cosine_similarity(-x, y))
    a = y.clone().requires_grad_()
    exact(
        torch.autograd.grad(C.cosine_similarity(a, negative), a, x[:, 0].clone()),
        torch.autograd.grad(C.cosine_similarity(a, -x), a, x[:, 0].clone()),
    )


def test_parameters_and_subclasses(seed):
    class Labelled(torch.Tensor):
        pass

    x, y = matrices(seed)
    exact(C.cosine_similarity(Parameter(x), y).detach(), C.cosine_similarity(x, y))
    S = C.cosine_similarity(x.as_subclass(Labelled), y)
    assert type(S) is Labelled
    exact(S.as_subclass(torch.Tensor), C.cosine_similarity(x, y))


def test_autocast_leaves_the_dtype_of_rows(torch_dtype, seed):
    x, y = matrices(seed, torch_dtype)
    with torch.autocast("cpu", torch.bfloat16):
        S = C.cosine_similarity(x, y)
    assert S.dtype == torch_dtype
    exact(S, C.cosine_similarity(x, y))


def test_subnormals_where_the_process_flushes_them():
    x = torch.full((1, 3), 1e-40)
    try:
        torch.set_flush_denormal(True)
        S, D = C.cosine_similarity(x, x, eps=0.0), C.cosine_distance(x, -x, eps=0.0)
    finally:
        torch.set_flush_denormal(False)
    assert S == 1
    assert D == 2


def test_the_number_of_threads_changes_no_bit(seed, torch_dtype):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 40_000, 33, generator=generator).to(torch_dtype)
    x.requires_grad_()
    results = []
    threads = torch.get_num_threads()
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            loss = C.cosine_distance_loss(x, y)
            results.append((loss, *torch.autograd.grad(loss, x), C.cosine_distance_loss(x, y, weights=0.3)))
    finally:
        torch.set_num_threads(threads)
    exact(results[1], results[0])
    exact(results[2], results[0])

"""Tests of the matrix functions under PyTorch's transforms."""

import pytest
import torch

import cosgrad.torch as C

FUNCTIONS = {"similarity": C.pairwise_cosine_similarity, "distance": C.pairwise_cosine_distance}

function = pytest.mark.parametrize("f", list(FUNCTIONS.values()), ids=list(FUNCTIONS))


@pytest.fixture
def pair(seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, 5, dtype=torch.float64, generator=generator) for n in (4, 3))


def textbook(x, y, distance=False):
    S = (x / x.norm(dim=-1, keepdim=True)) @ (y / y.norm(dim=-1, keepdim=True)).mT
    return 1 - S if distance else S


@function
def test_gradcheck_to_second_order(f, pair):
    x, y = (t.requires_grad_() for t in pair)
    assert torch.autograd.gradcheck(f, (x, y))
    assert torch.autograd.gradgradcheck(f, (x, y))


@function
def test_gradcheck_of_a_matrix_with_itself(f, pair):
    x = pair[0].requires_grad_()
    away = ~torch.eye(4, dtype=torch.bool)  # the diagonal is a constant
    assert torch.autograd.gradcheck(lambda x: f(x)[away], x)


@pytest.mark.parametrize("transform", ["jvp", "vmap", "jacrev", "hessian", "compile"])
@pytest.mark.parametrize("distance", [False, True])
def test_transforms_agree_with_the_textbook(transform, distance, pair):
    def ours(x, y):
        return FUNCTIONS["distance" if distance else "similarity"](x, y)

    def theirs(x, y):
        return textbook(x, y, distance)

    def run(f):
        match transform:
            case "jvp":
                return torch.func.jvp(f, pair, (pair[0].cos(), pair[1].sin()))[1]
            case "vmap":
                return torch.func.vmap(f, (0, None))(torch.stack([pair[0], pair[0].exp()]), pair[1])
            case "jacrev":
                return torch.func.jacrev(f)(*pair)
            case "hessian":
                return torch.func.hessian(lambda x, y: (f(x, y) ** 2).sum())(*pair)
            case "compile":
                x = pair[0].clone().requires_grad_()
                value = (torch.compile(f, backend="aot_eager") if f is ours else f)(x, pair[1])
                return torch.autograd.grad((value**2).sum(), x)[0]

    # The results come from a few operations in float64 on numbers near 1.
    torch.testing.assert_close(run(ours), run(theirs), rtol=1e-12, atol=1e-13)


@function
def test_autocast_keeps_the_dtype(f, pair):
    x, y = (t.float() for t in pair)
    want = f(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(f(x, y), want)


@function
def test_there_is_one_matrix(f):
    """Check that forward and backward allocate no second N x M matrix."""
    x, y = torch.randn(512, 8, requires_grad=True), torch.randn(512, 8, requires_grad=True)
    g = torch.ones(512, 512)
    with torch.profiler.profile(profile_memory=True) as profile:
        torch.autograd.grad(f(x, y), (x, y), g)
    sizes = [e.self_cpu_memory_usage for e in profile.events()]
    assert sum(size >= g.nbytes for size in sizes) == 1

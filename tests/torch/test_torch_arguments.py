"""Every error, once, with its classes and words."""

import re

import pytest
import torch
from torch_cases import matrices

import cosgrad.torch as C

X, Y = torch.ones(3, 4), torch.ones(3, 4)
N = torch.nn
FLOATS = "torch.float16, torch.bfloat16, torch.float32 or torch.float64"

ERRORS = {
    "dim": (
        lambda: C.cosine_similarity(X, Y, 2),
        (ValueError, IndexError),
        "dim=2 is out of range for tensors of rank 2",
    ),
    "dim of a scalar": (
        lambda: C.cosine_distance(torch.tensor(1.0), torch.tensor(1.0), -2),
        (ValueError, IndexError),
        "dim=-2 is out of range for tensors of rank 0",
    ),
    "dim of normalize": (
        lambda: C.normalize(X, dim=-3),
        (ValueError, IndexError),
        "dim=-3 is out of range for tensors of rank 2",
    ),
    "dim of a loss": (
        lambda: C.cosine_distance_loss(X, Y, dim=5),
        (ValueError, IndexError),
        "dim=5 is out of range for tensors of rank 2",
    ),
    "no integer": (lambda: C.cosine_similarity(X, Y, 1.5), (TypeError,), "dim=1.5 must be an integer"),
    "eps": (lambda: C.cosine_similarity(X, Y, eps=-1e-8), (ValueError,), "eps=-1e-08 must be at least 0"),
    "NaN eps": (lambda: C.normalize(X, eps=float("nan")), (ValueError,), "eps=nan must be at least 0"),
    "no number": (lambda: C.cosine_distance(X, Y, eps="tiny"), (TypeError,), "eps='tiny' must be a number"),
    "module's eps": (lambda: C.nn.CosineSimilarity(eps=-1), (ValueError,), "eps=-1 must be at least 0"),
    "p": (lambda: C.normalize(X, 1), (ValueError,), "p=1 must be 2, the Euclidean norm"),
    "shapes": (
        lambda: C.cosine_similarity(X, torch.ones(2, 4)),
        (ValueError, RuntimeError),
        "x1 of shape (3, 4) and x2 of shape (2, 4) must broadcast to one shape",
    ),
    "shapes of a loss": (
        lambda: C.cosine_distance_loss(X, torch.ones(3, 5)),
        (ValueError, RuntimeError),
        "labels of shape (3, 4) and predictions of shape (3, 5) must broadcast to one shape",
    ),
    "devices": (
        lambda: C.cosine_similarity(X, Y.to("meta")),
        (ValueError, RuntimeError),
        "x1 on cpu and x2 on meta must be on one device",
    ),
    "no tensor": (lambda: C.cosine_similarity([1.0], Y), (TypeError,), "x1 is list, must be a tensor"),
    "no tensor to normalize": (
        lambda: C.normalize(None),
        (TypeError,),
        "input is NoneType, must be a tensor",
    ),
    "integers": (
        lambda: C.cosine_similarity(X.int(), Y.bool()),
        (TypeError, RuntimeError),
        "the promoted type of x1 and x2 is of dtype torch.int32, must be floating in at least one, "
        f"that is {FLOATS}",
    ),
    "integers to normalize": (
        lambda: C.normalize(X.long()),
        (TypeError, RuntimeError),
        f"input is of dtype torch.int64, must be floating, that is {FLOATS}",
    ),
    "complex": (
        lambda: C.cosine_distance_loss(X, Y.cfloat()),
        (TypeError, RuntimeError),
        f"predictions is of dtype torch.complex64, must be real, that is {FLOATS}",
    ),
    "float8": (
        lambda: C.cosine_distance(X.to(torch.float8_e4m3fn), Y),
        (TypeError, RuntimeError),
        f"x1 is of dtype torch.float8_e4m3fn, must be real, that is {FLOATS}",
    ),
    "sparse": (
        lambda: C.cosine_similarity(X, Y.to_sparse()),
        (TypeError, RuntimeError),
        "x2 has layout torch.sparse_coo, must be torch.strided",
    ),
    "sparse to normalize": (
        lambda: C.normalize(X.to_sparse()),
        (TypeError, RuntimeError),
        "input has layout torch.sparse_coo, must be torch.strided",
    ),
    "weights": (
        lambda: C.cosine_distance_loss(X, Y, weights=torch.ones(3, 1)),
        (ValueError, RuntimeError),
        "weights of shape (3, 1) must broadcast to the losses' shape (3,) without enlarging it",
    ),
    "weights of another size": (
        lambda: C.cosine_distance_loss(X, Y, weights=torch.ones(4), assume_normalized=True),
        (ValueError, RuntimeError),
        "weights of shape (4,) must broadcast to the losses' shape (3,) without enlarging it",
    ),
    "complex weights": (
        lambda: C.cosine_distance_loss(X, Y, weights=torch.ones(3).cfloat()),
        (TypeError, RuntimeError),
        "weights is of dtype torch.complex64, must be real",
    ),
    "reduction": (
        lambda: C.cosine_distance_loss(X, Y, reduction="average"),
        (ValueError,),
        "reduction='average' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'",
    ),
    "module's reduction": (
        lambda: C.nn.CosineEmbeddingLoss(reduction="avg"),
        (ValueError,),
        "reduction='avg' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'",
    ),
    "target": (
        lambda: C.cosine_embedding_loss(X, Y, torch.tensor([1, 0, -1])),
        (ValueError,),
        "target holds 0, must hold only +1 and -1",
    ),
    "NaN target": (
        lambda: C.cosine_embedding_loss(X, Y, torch.full((3,), float("nan"))),
        (ValueError,),
        "target holds nan, must hold only +1 and -1",
    ),
    "target's shape": (
        lambda: C.cosine_embedding_loss(X, Y, torch.ones(4)),
        (ValueError, RuntimeError),
        "target of shape (4,) must broadcast to the losses' shape (3,) without enlarging it",
    ),
    "no target": (lambda: C.cosine_embedding_loss(X, Y, 1), (TypeError,), "target is int, must be a tensor"),
}


@pytest.fixture(params=list(ERRORS))
def error(request):
    return ERRORS[request.param]


def test_error(error):
    call, classes, message = error
    with pytest.raises(classes[0], match=f"^{re.escape(message)}$") as raised:
        call()
    assert isinstance(raised.value, classes)


def test_a_weight_on_another_device(seed):
    x, y = matrices(seed)
    with pytest.raises(ValueError, match="weights on meta and labels on cpu must be on one device"):
        C.cosine_distance_loss(x, y, weights=torch.ones(4, device="meta"))


def test_targets_are_not_looked_at_where_they_cannot_be_seen(seed):
    x, y = matrices(seed)
    target = torch.zeros(4)
    torch.func.vmap(C.cosine_embedding_loss)(x, y, target)
    loss = C.cosine_embedding_loss(*(t.to("meta") for t in (x, y, target)))
    assert loss.shape == ()

"""Tests of every error, once, with its classes and its message."""

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
    "eps": (
        lambda: C.cosine_similarity(X, Y, eps=-1e-8),
        (ValueError, RuntimeError),
        "eps=-1e-08 must be at least 0",
    ),
    "NaN eps": (
        lambda: C.normalize(X, eps=float("nan")),
        (ValueError, RuntimeError),
        "eps=nan must be at least 0",
    ),
    "no number": (lambda: C.cosine_distance(X, Y, eps="tiny"), (TypeError,), "eps='tiny' must be a number"),
    "module's eps": (
        lambda: C.nn.CosineSimilarity(eps=-1),
        (ValueError, RuntimeError),
        "eps=-1 must be at least 0",
    ),
    "p": (
        lambda: C.normalize(X, 1),
        (ValueError,),
        "p=1 must be 2, the Euclidean norm; torch.nn.functional.normalize takes other norms",
    ),
    "one of several dims": (
        lambda: C.normalize(X, dim=(0, 2)),
        (ValueError, IndexError),
        "dim=2 is out of range for tensors of rank 2",
    ),
    "a repeated dim": (
        lambda: C.normalize(X, dim=(1, -1)),
        (ValueError, IndexError),
        "dim=(1, -1) must name each dimension once",
    ),
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
        f"x1 is of dtype torch.float8_e4m3fn, must be real, that is {FLOATS}; "
        "x1.to(torch.bfloat16) converts it exactly",
    ),
    "sparse": (
        lambda: C.cosine_similarity(X, Y.to_sparse()),
        (TypeError, RuntimeError),
        "x2 has layout torch.sparse_coo, must be torch.strided: x2.to_dense() converts it",
    ),
    "sparse to normalize": (
        lambda: C.normalize(X.to_sparse()),
        (TypeError, RuntimeError),
        "input has layout torch.sparse_coo, must be torch.strided: input.to_dense() converts it",
    ),
    "mkldnn": (
        lambda: C.cosine_similarity(X.to_mkldnn(), Y.to_mkldnn()),
        (TypeError, RuntimeError),
        "x1 has layout torch._mkldnn, must be torch.strided: x1.to_dense() converts it",
    ),
    "float8 in a contrastive loss": (
        lambda: C.nt_xent_loss(torch.ones(4, 2).to(torch.float8_e5m2)),
        (TypeError, RuntimeError),
        f"z is of dtype torch.float8_e5m2, must be floating, that is {FLOATS}; "
        "z.to(torch.bfloat16) converts it exactly",
    ),
    "quantized": (
        lambda: C.normalize(torch.quantize_per_tensor(X, 0.1, 0, torch.qint8)),
        (TypeError, RuntimeError),
        f"input is of dtype torch.qint8, must be floating, that is {FLOATS}; input.dequantize() converts it",
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


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_error(error):
    call, classes, message = error
    with pytest.raises(classes[0], match=f"^{re.escape(message)}$") as raised:
        call()
    assert isinstance(raised.value, classes)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused_with_a_cure(layout):
    nested = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=layout)
    for call in (
        lambda: C.cosine_similarity(nested, nested),
        lambda: C.normalize(nested),
        lambda: C.cosine_distance_loss(nested, nested),
        lambda: C.pairwise_cosine_similarity(nested),
    ):
        with pytest.raises(TypeError, match=r"is a nested tensor, must be dense: torch\.nested\.to_padded"):
            call()


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

"""Tests of integers of every width in targets, labels and weights.

They also test PyTorch's names for the embedding loss.
"""

import pytest
import torch
import torch.nn.functional as F
from torch_cases import matrices

import cosgrad.torch as C

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_a_compiled_loss_reads_no_unsigned_number_as_a_target(seed):
    x, y = matrices(seed)
    compiled = torch.compile(C.cosine_embedding_loss, backend="aot_eager", fullgraph=True)
    for dtype in (torch.uint8, torch.uint16):
        target = torch.tensor([1, -1, 1, 1]).to(dtype)
        losses = compiled(x, y, target, reduction="none")
        assert losses.isnan().tolist() == [False, True, False, False]
    expected = F.cosine_embedding_loss(x, y, torch.tensor([1, -1, 1, -1]))
    torch.testing.assert_close(compiled(x, y, torch.tensor([1, -1, 1, -1], dtype=torch.int8)), expected)
    torch.compiler.reset()


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_labels_of_any_width(dtype, seed):
    x, y = matrices(seed)
    labels = torch.tensor([0, 1, 1, 0])
    expected = C.contrastive_loss(x, y, labels_x=labels, labels_y=labels)
    own = labels.to(getattr(torch, dtype))
    assert torch.equal(C.contrastive_loss(x, y, labels_x=own, labels_y=own), expected)
    assert torch.equal(C.nt_xent_loss(x, own), C.nt_xent_loss(x, labels))
    if dtype != "uint64":
        assert torch.equal(C.contrastive_loss(x, y, labels_x=own, labels_y=labels), expected)


def test_large_labels_of_uint64_stay_apart(seed):
    x, y = matrices(seed)
    large = torch.tensor([2**64 - 1, 2**64 - 2, 2**63, 5], dtype=torch.uint64)
    plain = torch.arange(4)
    expected = C.contrastive_loss(x, y, labels_x=plain, labels_y=plain)
    assert torch.equal(C.contrastive_loss(x, y, labels_x=large, labels_y=large), expected)
    with pytest.raises(TypeError, match=r"labels_x is of dtype torch.uint64 and labels_y of dtype"):
        C.contrastive_loss(x, y, labels_x=large, labels_y=torch.tensor([-1, -2, 3, 5]))


@pytest.mark.parametrize("assume_normalized", [False, True])
@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_weights_of_any_width(dtype, assume_normalized, seed):
    x, y = matrices(seed, torch.float32)
    weights = torch.tensor([0, 1, 1, 0])
    options = {"reduction": "weighted_mean", "assume_normalized": assume_normalized}
    expected = C.cosine_distance_loss(x, y, weights=weights.float(), **options)
    got = C.cosine_distance_loss(x, y, weights=weights.to(getattr(torch, dtype)), **options)
    assert torch.equal(got, expected)


def test_the_tensors_have_the_names_of_pytorch(seed):
    x, y = matrices(seed)
    tensors = {"input1": x, "input2": y, "target": torch.tensor([1, -1, 1, -1])}
    expected = F.cosine_embedding_loss(**tensors)
    torch.testing.assert_close(C.cosine_embedding_loss(**tensors), expected)
    torch.testing.assert_close(C.nn.CosineEmbeddingLoss()(**tensors), expected)

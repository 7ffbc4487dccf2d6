"""Tests that modules keep their options and return the results of the functions."""

import copy
import pickle

import pytest
import torch
from torch_cases import TARGET, WEIGHTS, matrices

import cosgrad.torch as C

MODULES = {
    "similarity": (C.nn.CosineSimilarity(dim=0, eps=0.5), lambda x, y: C.cosine_similarity(x, y, 0, 0.5)),
    "distance loss": (
        C.nn.CosineDistanceLoss(dim=0, reduction="sum", assume_normalized=True),
        lambda x, y: C.cosine_distance_loss(x, y, dim=0, reduction="sum", assume_normalized=True),
    ),
    "embedding loss": (
        C.nn.CosineEmbeddingLoss(0.5, reduction="sum"),
        lambda x, y: C.cosine_embedding_loss(x, y, TARGET, margin=0.5, reduction="sum"),
    ),
}
REPRS = {
    "similarity": "CosineSimilarity(dim=0, eps=0.5)",
    "distance loss": "CosineDistanceLoss(dim=0, reduction='sum', assume_normalized=True)",
    "embedding loss": "CosineEmbeddingLoss(margin=0.5, reduction='sum')",
}


@pytest.fixture(params=list(MODULES))
def name(request):
    return request.param


@pytest.fixture(params=[lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def module(request, name):
    return request.param(MODULES[name][0])


def test_module(name, module, seed):
    x, y = matrices(seed)
    arguments = (x, y, TARGET) if name == "embedding loss" else (x, y)
    assert torch.equal(module(*arguments), MODULES[name][1](x, y))
    assert repr(module) == REPRS[name]
    assert not module.state_dict()


def test_weights(seed):
    x, y = matrices(seed)
    assert torch.equal(
        C.nn.CosineDistanceLoss()(x, y, WEIGHTS), C.cosine_distance_loss(x, y, weights=WEIGHTS)
    )


def test_it_trains(seed):
    torch.manual_seed(seed)
    x, target = torch.randn(64, 8), torch.randn(8, 8)
    layer, loss = torch.nn.Linear(8, 8, bias=False), C.nn.CosineDistanceLoss()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)

    def step():
        optimizer.zero_grad()
        value = loss(x @ target, layer(x))
        value.backward()
        optimizer.step()
        return value.item()

    assert [step() for _ in range(300)][-1] < 1e-3

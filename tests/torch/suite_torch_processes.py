"""Tests of forked children, which have none of the parent's threads.

Their calls must not hang, and the results must not differ.

`test_torch_processes.py` runs this in a process where no other framework has started threads of its own.
"""

import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import cosgrad.torch as C

SHAPE = (4096, 64)  # enough rows to be shared among threads


def pair(seed):
    x, y = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(), y


def bits(x, y):
    """Return the bytes of values and gradients.

    No operation is included that PyTorch itself shares among threads, because it would hang in a forked
    child.
    """
    S = C.cosine_similarity(x, y)
    loss = C.cosine_distance_loss(x, y)
    gradients = [torch.autograd.grad(S, x, torch.ones(SHAPE[0]))[0], torch.autograd.grad(loss, x)[0]]
    return [t.detach().numpy().tobytes() for t in (S, loss, *gradients)]


class Rows(Dataset):
    def __init__(self, seed):
        self.seed = seed

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return C.cosine_similarity(*pair(self.seed)).detach()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_raw_fork(seed):
    x, y = pair(seed)
    expected = bits(x, y)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if bits(x, y) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_in_the_workers_of_a_loader(seed):
    expected = C.cosine_similarity(*pair(seed))
    loader = DataLoader(Rows(seed), num_workers=2, multiprocessing_context="fork", timeout=60)
    for got in loader:
        assert torch.equal(got[0], expected)


def test_the_threads_are_pytorchs():
    from cosgrad.torch import _native

    assert _native._pool > 1

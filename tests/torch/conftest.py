"""Fixtures: PyTorch's dtypes, and every public function of two matrices."""

import pytest
import torch
from torch_cases import DTYPES, FUNCTIONS


@pytest.fixture
def torch_dtype(dtype_name: str) -> torch.dtype:
    return DTYPES[dtype_name]


@pytest.fixture(params=list(FUNCTIONS))
def function(request: pytest.FixtureRequest):
    return FUNCTIONS[request.param]


@pytest.fixture(autouse=True)
def _seeded(seed: int) -> None:
    """Seed PyTorch's generator, which creates weights, and tensors without a generator of their own."""
    torch.manual_seed(seed)

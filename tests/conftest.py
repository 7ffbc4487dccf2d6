"""What all tests share: a seed that a failure shows, and NumPy's name of every dtype."""

import ml_dtypes
import numpy as np
import pytest

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


@pytest.fixture
def seed() -> int:
    value = 20261121
    print(f"seed {value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(params=list(DTYPES))
def dtype_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dtype(dtype_name: str) -> np.dtype:
    return DTYPES[dtype_name]

"""Fixtures for all tests: the random seed, which a failure report shows, and NumPy's dtypes by name."""

import os

import ml_dtypes
import numpy as np
import pytest

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
SEED = "COSGRAD_TEST_SEED"


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed and put it into the environment, for the workers and for the tests' own processes."""
    value = os.environ.get(SEED, "20261121")
    if value == "random":
        value = str(np.random.SeedSequence().generate_state(1)[0])
    if not value.isdecimal():
        raise pytest.UsageError(f"{SEED}={value} must be a number of at least 0, or random")
    os.environ[SEED] = value


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the command that runs the failed tests again with the same random numbers."""
    failed = terminalreporter.getreports("failed") + terminalreporter.getreports("error")
    if failed:
        names = " ".join(f"'{report.nodeid}'" for report in failed[:3])
        terminalreporter.write_line(f"run again with the same seed: {SEED}={os.environ[SEED]} pytest {names}")


@pytest.fixture
def seed() -> int:
    value = int(os.environ[SEED])
    print(f"{SEED}={value}")
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

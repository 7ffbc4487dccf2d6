"""Runs the Keras suite once for each backend, in a process of its own.

A process can have only one backend of Keras.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("keras")
SUITE = Path(__file__).with_name("suite_keras.py")


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_suite(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(SUITE)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_an_unknown_backend_is_named() -> None:
    program = "import cosgrad.keras as k; k.CosineDistance()([[1.0]], [[1.0]])"
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "cosgrad.keras runs on the Keras backends torch, jax, tensorflow, not on numpy" in run.stderr


def test_a_backend_that_is_missing_is_named() -> None:
    program = "import sys; sys.modules['tensorflow'] = None; import cosgrad.keras"
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    said = "cosgrad.keras needs Keras's backend, and tensorflow is not installed: install it"
    assert said in run.stderr

"""The top level goes by the type of its arguments, and imports nothing that its caller has not."""

import subprocess
import sys

import numpy as np
import pytest

import cosgrad

FRAMEWORKS = ("torch", "jax", "tensorflow", "keras")


def test_importing_cosgrad_imports_no_framework():
    program = (
        "import sys, cosgrad, cosgrad.numpy; cosgrad.cosine_similarity([1.0], [1.0]);"
        f"print([name for name in {FRAMEWORKS} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_tensors_go_to_pytorch_and_the_rest_to_numpy():
    torch = pytest.importorskip("torch")
    x, y = np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]])
    a, b = torch.tensor(x), torch.tensor(y)
    for name in ("cosine_similarity", "cosine_distance"):
        function = getattr(cosgrad, name)
        assert isinstance(function(a, b), torch.Tensor)
        np.testing.assert_array_equal(function(a, b), function(x, y))
        assert function(a, b, keepdims=True).shape == (1, 1)
    np.testing.assert_array_equal(cosgrad.normalize(a), cosgrad.normalize(x))
    assert cosgrad.cosine_distance_loss(a, b) == cosgrad.cosine_distance_loss(x, y)
    target = [-1]
    assert cosgrad.cosine_embedding_loss(a, b, torch.tensor(target)) == cosgrad.cosine_embedding_loss(
        x, y, target
    )


def test_the_defaults_are_the_same_whatever_the_framework():
    torch = pytest.importorskip("torch")
    x, y = np.zeros((3, 3)), np.eye(3)
    x[:, 0] = 1e-200
    np.testing.assert_array_equal(cosgrad.cosine_similarity(torch.tensor(x), torch.tensor(y)), [1, 0, 0])
    np.testing.assert_array_equal(cosgrad.cosine_similarity(x, y), [1, 0, 0])


def test_two_frameworks_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="arguments of two frameworks: x of numpy, y of torch"):
        cosgrad.cosine_similarity(np.ones(2), torch.ones(2))

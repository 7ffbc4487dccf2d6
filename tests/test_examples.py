"""Tests that the examples run from the command line, that their models learn, and that the results agree."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
EPOCHS = 8

pytest.importorskip("sklearn")
pytest.importorskip("tqdm")


def run(name: str, *arguments: object, **environment: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stderr  # the progress bar
    return done.stdout


@pytest.fixture(scope="module")
def curve_of_torch(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("digits") / "torch.json"
    run("digits_torch.py", "--epochs", EPOCHS, "--curve", path)
    return json.loads(path.read_text())


def test_the_loss_falls(curve_of_torch):
    assert curve_of_torch[-1] < 0.4 * curve_of_torch[0]


@pytest.mark.parametrize(
    ("framework", "script", "backend"),
    [
        ("jax", "digits_jax.py", "jax"),
        ("tensorflow", "digits_tensorflow.py", "tensorflow"),
        ("keras", "digits_keras.py", "torch"),
        ("keras", "digits_keras.py", "jax"),
    ],
)
def test_the_same_curve_in_every_framework(framework, script, backend, curve_of_torch, tmp_path):
    if find_spec(framework) is None or find_spec(backend) is None:
        pytest.skip(f"{framework} or {backend} is not installed")
    path = tmp_path / "curve.json"
    run(script, "--epochs", EPOCHS, "--curve", path, KERAS_BACKEND=backend)
    # The curves come from a hundred steps of float32 matrix products, and each framework chooses the order of
    # its sums.
    assert json.loads(path.read_text()) == pytest.approx(curve_of_torch, rel=1e-5)


def test_two_vectors_are_driven_parallel(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    plot = tmp_path / "parallel.png"
    out = run("parallel.py", "--plot", plot)
    truth = dict(re.findall(r"^(.*?) +says.*in truth +(\S+)$", out, re.MULTILINE))
    assert float(truth["cosgrad"]) < 1e-13
    assert float(truth["1 - F.cosine_similarity"]) > 1e-9
    assert plot.read_bytes().startswith(b"\x89PNG")

"""Tests of DTensors, on one process and on four."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

SUITE = Path(__file__).with_name("suite_torch_dtensor.py")

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="needs torch.distributed")


@pytest.mark.parametrize("ranks", [1, 4])
def test_dtensors_have_the_values_and_gradients_of_one_process(ranks, tmp_path, seed):
    processes = [
        subprocess.Popen(
            [sys.executable, str(SUITE), str(rank), str(ranks), str(tmp_path / "rendezvous"), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    outputs = [p.communicate(timeout=300)[0] for p in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, "\n".join(outputs)
        assert "Traceback" not in output

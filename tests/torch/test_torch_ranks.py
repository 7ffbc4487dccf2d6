"""Tests of the contrastive losses over groups of processes."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("suite_torch_ranks.py")


def start(case, ranks, rendezvous, seed):
    return [
        subprocess.Popen(
            [sys.executable, str(SUITE), case, str(rank), str(ranks), str(rendezvous), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_rank_has_the_loss_and_the_gradients_of_one_process(ranks, tmp_path, seed):
    processes = start("right", ranks, tmp_path / "rendezvous", seed)
    outputs = [p.communicate(timeout=300)[0] for p in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, "\n".join(outputs)
        assert "Traceback" not in output


@pytest.mark.parametrize("case", ["killed", "stopped"])
def test_the_others_raise_when_a_rank_vanishes(case, tmp_path, seed):
    *others, last = start(case, 3, tmp_path / "rendezvous", seed)
    try:
        outputs = [p.communicate(timeout=120)[0] for p in others]  # a process that hangs fails here
        assert all("raised" in output for output in outputs), outputs
        assert [p.returncode for p in others] == [0, 0]
    finally:
        last.kill()
        last.communicate()

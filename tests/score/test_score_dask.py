"""Scoring on a Dask cluster."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_worker_that_is_killed_loses_nothing(tmp_path):
    pytest.importorskip("distributed")
    suite = Path(__file__).with_name("suite_score_dask.py")
    run = subprocess.run(
        [sys.executable, str(suite), str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1] == "equal"

"""Tests of forking and threads, in a process where PyTorch is the only framework."""

import subprocess
import sys
from pathlib import Path


def test_suite():
    suite = Path(__file__).with_name("suite_torch_processes.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(suite)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout

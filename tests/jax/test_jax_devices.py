"""Sharded arrays stay sharded, and have the bits of those that are not: on four devices of the host."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("jax_devices.py")
CASES = [name.replace("_", " ") for name in re.findall(r"@case\ndef (\w+)", SCRIPT.read_text())]


@pytest.fixture(scope="module")
def seen():
    """What every case failed with, or nothing."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


@pytest.mark.parametrize("name", CASES)
def test_four_devices(name, seen):
    assert not seen[name], seen[name]

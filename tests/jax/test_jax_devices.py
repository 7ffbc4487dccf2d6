"""Tests on four devices of the host.

Sharded arrays stay sharded, and losses over devices are those of the whole batch.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def cases(script):
    return [name.replace("_", " ") for name in re.findall(r"@case\ndef (\w+)", (HERE / script).read_text())]


def reported(script):
    """Run a script of cases and return the error message of every case, which is empty if the case passed."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, HERE / script]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def seen():
    return reported("jax_devices.py")


@pytest.fixture(scope="module")
def seen_of_losses():
    return reported("jax_contrastive_devices.py")


@pytest.mark.parametrize("name", cases("jax_devices.py"))
def test_four_devices(name, seen):
    assert not seen[name], seen[name]


@pytest.mark.parametrize("name", cases("jax_contrastive_devices.py"))
def test_contrastive_losses_over_four_devices(name, seen_of_losses):
    assert not seen_of_losses[name], seen_of_losses[name]

"""On four devices of the host: sharded arrays stay sharded, losses over devices are the whole batch's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = [Path(__file__).with_name(name) for name in ("jax_devices.py", "jax_contrastive_devices.py")]
CASES = [
    (script, name.replace("_", " "))
    for script in SCRIPTS
    for name in re.findall(r"@case\ndef (\w+)", script.read_text())
]


@pytest.fixture(scope="module")
def seen(request):
    """What every case failed with, or nothing."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, request.param],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


@pytest.mark.parametrize(("seen", "name"), CASES, ids=[name for _, name in CASES], indirect=["seen"])
def test_four_devices(name, seen):
    assert not seen[name], seen[name]

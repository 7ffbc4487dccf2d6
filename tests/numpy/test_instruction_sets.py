"""Tests that every instruction set gives the same bits.

So the tests of the best instruction set cover the others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import digests
import numpy as np
import pytest

from cosgrad import _native


def start(isa: str, threads: int) -> subprocess.Popen[str]:
    environment = os.environ | {"COSGRAD_ISA": isa, "COSGRAD_NUM_THREADS": str(threads)}
    command = [sys.executable, str(Path(digests.__file__))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    """Return the digests of this process, with its instruction set and its number of threads."""
    return digests.digests()


def test_the_same_bits_from_every_instruction_set_and_number_of_threads(expected):
    assert _native.isas[0] == "baseline"
    children = [start(isa, 1 if isa == "baseline" else 3) for isa in _native.isas]
    for isa, child in zip(_native.isas, children, strict=True):
        output, _ = child.communicate(timeout=300)
        assert child.returncode == 0
        found = json.loads(output)
        assert found["isa"] == isa
        different = [name for name in expected if found["digests"].get(name) != expected[name]]
        assert not different, f"{isa} and {_native.isa} differ in {len(different)} results: {different[:10]}"
        assert len(found["digests"]) == len(expected)


def test_a_digest_depends_on_every_bit_of_its_result_and_on_no_other():
    def results(change: int):
        a = np.array([0.0, 1.0, np.nan, 2.0], np.float32)
        a.view(np.uint32)[change // 32] ^= 1 << change % 32
        yield "changed", [np.ones(3), a]
        yield "same", [np.ones(3)]

    found = [digests.digests(lambda change=change: results(change)) for change in range(64)]
    assert len({d["changed"] for d in found}) == 64
    assert len({d["same"] for d in found}) == 1


def test_a_digest_takes_any_nan_for_another():
    quiet = np.array([np.nan, -np.nan, float.fromhex("0x1p0")], np.float64)
    other = quiet.copy()
    other.view(np.uint64)[:2] ^= 1 << 63 | 5
    assert digests.bits(quiet) == digests.bits(other)


def test_strided_rows_have_the_digests_of_contiguous_rows(expected):
    strided = [name for name in expected if name.endswith("strided")]
    assert strided
    for name in strided:
        assert expected[name] == expected[name.replace("strided", "eps 0")], name


def test_other_inputs_have_other_digests(expected):
    """Check that digests differ.

    If all results were zero or NaN, the digests would be equal and prove nothing.
    """
    others = [digest for name, digest in expected.items() if not name.endswith("strided")]
    assert len(others) > 800
    assert len(set(others)) > 0.99 * len(others)

"""Tests of the compiler check that runs before every build."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = ROOT / "Makefile"

pytestmark = pytest.mark.skipif(
    not MAKEFILE.exists() or shutil.which("make") is None, reason="needs the sources and make"
)

# A compiler that refuses one word, as GCC 11 does, and accepts every source without that word.
COMPILER = """#!/bin/sh
for argument; do
  case $argument in *.cpp) grep -q '{unknown}' "$argument" && exit 1;; esac
done
exit 0
"""


def preflight(folder: Path, unknown: str) -> subprocess.CompletedProcess[str]:
    compiler = folder / "c++-of-yesterday"
    compiler.write_text(COMPILER.format(unknown=unknown))
    compiler.chmod(0o755)
    command = [
        "make",
        "-s",
        "preflight",
        f"CXX={compiler}",
        f"PYTHON={sys.executable}",
        f"VENV={folder}/none",
    ]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "LC_ALL": "C"}
    )


@pytest.mark.parametrize(
    "needed", ["__builtin_shufflevector", "__builtin_convertvector", "vector_size", "<span>"]
)
def test_a_compiler_that_lacks_a_feature_is_refused(needed: str, tmp_path: Path) -> None:
    done = preflight(tmp_path, needed)
    assert done.returncode != 0
    assert "cosgrad needs GCC 12, Clang 14 or newer" in done.stderr
    assert "name it with CXX=" in done.stderr


def test_a_compiler_that_has_all_is_accepted(tmp_path: Path) -> None:
    done = preflight(tmp_path, "a word that no program has")
    assert done.returncode == 0, done.stderr


def test_the_program_uses_the_features_of_the_sources() -> None:
    """Check that the program of the check contains every vector builtin that the sources use."""
    program = (ROOT / "native" / "preflight.cpp").read_text()
    sources = "".join(p.read_text() for p in (ROOT / "native").rglob("*.[ch]pp") if p.name != "preflight.cpp")
    for builtin in ("__builtin_shufflevector", "__builtin_convertvector", "vector_size"):
        assert builtin in sources
        assert builtin in program

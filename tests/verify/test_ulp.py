"""Tests of formats, rounding, and errors in ulp, against NumPy's own conversions and values by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cosgrad.verify.oracle import mp, real
from cosgrad.verify.ulp import FORMATS, errors, round_to, ulp_error


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounds_as_numpy(dtype):
    rng = np.random.default_rng(3)
    f = FORMATS[dtype]
    v = rng.standard_normal(20_000) * 2.0 ** rng.integers(1 - f.emax - f.digits - 3, f.emax + 3, 20_000)
    ties = np.ldexp(
        rng.integers(1, 2**f.digits, 2000) + 0.5, 1 - f.emax - f.digits + rng.integers(0, 9, 2000)
    )
    v = np.concatenate([v, ties, [0.0, -0.0, np.inf, -np.inf, f.largest, f.least, f.least / 2]])
    with np.errstate(over="ignore"):
        expected = v.astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(round_to(v, dtype), expected)
    assert np.isnan(round_to(np.nan, dtype))


def test_bfloat16_rounds_as_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    v = np.random.default_rng(4).standard_normal(20_000).astype(np.float32) * np.float32(1e-38)
    np.testing.assert_array_equal(round_to(v, "bfloat16"), v.astype(ml_dtypes.bfloat16).astype(np.float64))


@pytest.mark.parametrize("dtype", FORMATS)
def test_limits(dtype):
    f = FORMATS[dtype]
    if dtype in ("float16", "float32", "float64"):
        info = np.finfo(dtype)
        assert (f.largest, f.least, 2 * f.unit) == (info.max, info.smallest_subnormal, info.eps)
    assert round_to(f.largest, dtype) == f.largest


@pytest.mark.parametrize(
    ("got", "true", "dtype", "ulp"),
    [
        (1.0, "1 - 2**-26", "float32", 2**-3),  # the true number rounds to 1, whose ulp is 2^-23
        (1.0 - 2**-24, "1 - 2**-26", "float32", 0.375),
        (3.0, "3 + 2**-22", "float32", 1.0),
        (0.0, "2**-150", "float32", 0.5),  # half the smallest subnormal
        (2.0**-149, "3 * 2**-151", "float32", 0.25),
        (0.0, "0", "float64", 0.0),
        (5e-324, "0", "float64", 1.0),
        (np.inf, "65519", "float16", 17 / 32),  # 65520 is where rounding gives Inf, which counts as 65536
        (np.inf, "65520", "float16", 0.0),
        (-np.inf, "-70000", "float16", 0.0),
        (-np.inf, "70000", "float16", np.nan),
        (65504.0, "65521", "float16", 17 / 32),
        (np.nan, "nan", "float32", 0.0),
        (np.nan, "1", "float32", np.inf),
        (1.0, "nan", "float32", np.inf),
    ],
)
def test_by_hand(got, true, dtype, ulp):
    measured = ulp_error(got, eval(true, {"nan": mp.nan}) if true == "nan" else _number(true), dtype)
    if np.isnan(ulp):
        assert measured > 1000
    else:
        assert measured == ulp


def _number(text):
    return eval(text.replace("2**", "two**"), {"two": mp.mpf(2)}) * mp.mpf(1)


@pytest.mark.parametrize("dtype", FORMATS)
def test_correct_rounding_is_within_half(dtype):
    rng = np.random.default_rng(8)
    f = FORMATS[dtype]
    exponents = rng.integers(-f.emax - f.digits, f.emax, 4000).tolist()
    numbers = [
        Fraction(a) / 3 * Fraction(2) ** e for a, e in zip(rng.standard_normal(4000), exponents, strict=True)
    ]
    true = [real(r) for r in numbers]
    # The numbers are rounded to float64 first, which adds at most 2^-29 ulp of float32.
    got = round_to([float(r) for r in numbers], dtype)
    ulp = errors(got, true, dtype).ulp
    assert ulp.max() <= 0.5 + 1e-8
    assert ulp.max() > 0.49
    wrong = errors(round_to(got * (1 + 4 * f.unit), dtype), true, dtype).ulp
    assert wrong.max() > 1.4


def test_counts_must_agree():
    with pytest.raises(ValueError, match="measured against"):
        errors([1.0, 2.0], [mp.mpf(1)], "float64")

"""Tests of the bounds against the numbers of docs/numerics.md, so that a looser bound in the package fails.

The tests of accuracy take their tolerances from `cosgrad.verify.bounds`, which the package ships. A bound may
become tighter than the rule without a change here.
"""

import held
import numpy as np
import pytest

from cosgrad.verify import bounds, inputs
from cosgrad.verify.bounds import Bound

DTYPES = ("float16", "bfloat16", "float32", "float64")
LENGTHS = (1, 17, 4096, 4097, 100_000, 1_000_000)

# Units in the last place, then the allowance relative to the terms for narrow dtypes and for float64.
RULES = {
    "similarity": (0.501, 2.0**-50, 2.0**-96),
    "distance": (0.501, 2.0**-150, 2.0**-300),
    "gradient": (0.51, 2.0**-50, 2.0**-96),
    "total_derivative": (0.51, 2.0**-48, 2.0**-94),
    "unit_vector": (0.501, 0.0, 0.0),
}
# The allowances that may grow with the length, in proportion to n / 4096 for longer vectors.
GROWING = {("similarity", "float64"), *(("total_derivative", name) for name in DTYPES)}
UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(RULES))
def test_the_kernel_is_held_to_the_published_rules(name, dtype, n):
    ulp, narrow, double = RULES[name]
    relative = double if dtype == "float64" else narrow
    if (name, dtype) in GROWING:
        relative *= max(1.0, n / 4096)
    bound = getattr(bounds, name)(dtype, n)
    assert bound.ulp <= ulp
    assert bound.relative <= relative


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_closed_forms_are_held_to_the_published_rules(dtype, n):
    S, D = bounds.closed_similarity(dtype, n), bounds.closed_distance(dtype, n)
    assert (S.ulp, D.ulp) <= (8.0, 0.51)
    assert S.relative <= 2.0**-20
    assert D.relative <= 2.0**-22
    second = bounds.hessian(dtype, n)
    assert second.ulp <= 1
    assert second.relative <= (32 + 4 * n**0.5) * (2.0**-53 if dtype == "float64" else 2.0**-24)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_others_are_held_to_the_textbook(dtype, n):
    """Check the bound for other functions.

    A looser bound would accept mistakes. A tighter one would fail a function that only rounds.
    """
    assert bounds.textbook(dtype, n) == Bound(2.0, (32 + 8 * n**0.5) * UNITS[dtype])


def test_every_bound_has_its_numbers_here():
    functions = {name for name, f in vars(bounds).items() if callable(f) and not name.startswith("_")}
    here = {*RULES, "closed_similarity", "closed_distance", "hessian", "textbook"}
    assert functions - {"Bound", "Callable", "Standard", "Array", "dataclass"} == here


def test_a_bound_allows_its_ulps_and_its_part_of_the_scale():
    allowed = Bound(0.5, 0.25).allowed(np.array([0.0, 4.0, -1.0, np.nan]))
    np.testing.assert_array_equal(allowed, [0.5, 1.5, 0.5, 0.5])


ONES = [inputs.mp.mpf(1)] * 9


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_wrong_number_fails_and_its_row_is_named(dtype, seed):
    """Check that `held.check` finds an error of one unit in the last place, in any row.

    Every test of accuracy uses this function.
    """
    batch = inputs.ordinary(seed, 17, dtype)
    right = inputs.round_to(batch.similarities.floats, dtype)
    exact = Bound(0.501)
    held.check(batch, right, batch.similarities, ONES, exact)
    for row in range(9):
        for wrong in (right[row] * (1 + 4 * UNITS[dtype]), -right[row], np.nan, np.inf, 0.0):
            got = right.copy()
            got[row] = wrong
            with pytest.raises(AssertionError, match=rf"ulp, ordinary {dtype} n 17 row {row} .*seed {seed}"):
                held.check(batch, got, batch.similarities, ONES, exact)


def test_results_of_another_number_are_refused(seed):
    batch = inputs.ordinary(seed, 17, "float64")
    with pytest.raises(ValueError, match=r"\(8,\) numbers measured against \(9,\)"):
        held.check(batch, np.ones(8), batch.similarities, ONES, Bound(0.5))

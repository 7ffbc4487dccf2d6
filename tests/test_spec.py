"""Tests of the rules that all frontends share, with the names that one frontend uses in messages."""

import re

import numpy as np
import pytest

from cosgrad import closed, spec
from cosgrad.numpy._arrays import OPS


class AxisError(ValueError, IndexError):
    pass


FRONTEND = spec.Frontend("axis", "array", axis_error=AxisError)


@pytest.mark.parametrize(
    ("axis", "rank", "expected"), [(0, 1, 0), (-1, 3, 2), (2, 3, 2), (-3, 3, 0), (0, 0, 0), (-1, 0, 0)]
)
def test_axis(axis, rank, expected):
    assert FRONTEND.check_axis(axis, rank) == expected
    assert FRONTEND.check_axis(np.int64(axis), rank) == expected


@pytest.mark.parametrize(("axis", "rank"), [(1, 1), (-4, 3), (3, 3), (1, 0)])
def test_axis_out_of_range(axis, rank):
    message = f"axis={axis} is out of range for arrays of rank {rank}"
    with pytest.raises(AxisError, match=f"^{re.escape(message)}$"):
        FRONTEND.check_axis(axis, rank)


@pytest.mark.parametrize("axis", [1.0, "1", None, (0,)])
def test_axis_is_an_integer(axis):
    with pytest.raises(TypeError, match=re.escape(f"axis={axis!r} must be an integer")):
        FRONTEND.check_axis(axis, 2)


@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 0)), ((2, 1, 0), (3, 1)), ((5, 1, 1), (1, 4, 1))]
)
def test_broadcast(shapes):
    assert FRONTEND.check_broadcast("x", shapes[0], "y", shapes[1]) == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((0,), (2,)), ((3, 4), (3, 1, 3))])
def test_no_broadcast(shapes):
    message = f"x of shape {shapes[0]} and y of shape {shapes[1]} must broadcast to one shape"
    with pytest.raises(ValueError, match=re.escape(message)):
        FRONTEND.check_broadcast("x", shapes[0], "y", shapes[1])


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (1, 4), (3, 4)])
def test_fits(shape):
    FRONTEND.check_fits("weights", shape, (3, 4))


@pytest.mark.parametrize("shape", [(3,), (1, 3, 4), (1, 1, 1), (4, 3), (0,)])
def test_does_not_fit(shape):
    message = f"weights of shape {shape} must broadcast to the losses' shape (3, 4) without enlarging it"
    with pytest.raises(ValueError, match=re.escape(message)):
        FRONTEND.check_fits("weights", shape, (3, 4))


@pytest.mark.parametrize("eps", [0, 0.0, 1e-300, 1, float("inf"), np.float32(0.5), True])
def test_eps(eps):
    assert spec.check_eps(eps) == eps


@pytest.mark.parametrize("eps", [-1, -1e-300, float("nan"), float("-inf")])
def test_eps_below_zero(eps):
    with pytest.raises(ValueError, match=f"eps={eps} must be at least 0"):
        spec.check_eps(eps)


@pytest.mark.parametrize("eps", [None, "small", [1.0], 1j])
def test_eps_is_a_number(eps):
    with pytest.raises(TypeError, match=re.escape(f"eps={eps!r} must be a number")):
        spec.check_eps(eps)


def test_reduction():
    assert [spec.check_reduction(r) for r in spec.REDUCTIONS] == list(spec.REDUCTIONS)
    with pytest.raises(ValueError, match=r"reduction=None must be one of 'none', 'sum', .* 'nonzero_mean'"):
        spec.check_reduction(None)


def test_errors_to_raise():
    assert str(spec.refuse_target(0)) == "target holds 0, must hold only +1 and -1"
    assert str(FRONTEND.refuse_dtype("x", "complex64", "real")) == "x is of dtype complex64, must be real"


LOSSES = np.array([[1.0, 2.0, 4.0], [8.0, 16.0, np.nan]])


@pytest.mark.parametrize(
    ("weights", "reduction", "expected"),
    [
        (np.array([[1, 1, 1], [1, 1, 0]]), "sum", 31),
        (np.array([[1, 1, 1], [1, 1, 0]]), "mean", 31 / 6),
        (np.array([[1, 1, 1], [1, 1, 0]]), "weighted_mean", 31 / 5),
        (np.array([[2, 0, 2], [0, 2, 0]]), "weighted_mean", 7),
        (np.array([[2, 0, 2], [0, 2, 0]]), "nonzero_mean", 14),
        (np.array([0.5, 0.5, 0]), "sum", 13.5),
        (np.array([0.5, 0.5, 0]), "weighted_mean", 6.75),
        (np.array([0.5, 0.5, 0]), "nonzero_mean", 3.375),
        (np.array([[3], [0]]), "weighted_mean", 7 / 3),
        (np.zeros(()), "sum", 0),
        (np.zeros(3), "weighted_mean", 0),
        (np.zeros((2, 1)), "nonzero_mean", 0),
        (np.array([1, -1, 0]), "weighted_mean", 0),
        (np.ones(3), "mean", np.nan),
        (None, "sum", np.nan),
    ],
)
def test_reduce(weights, reduction, expected):
    np.testing.assert_allclose(spec.reduce(OPS, LOSSES, weights, reduction), expected, rtol=1e-15)


@pytest.mark.parametrize("weights", [None, np.zeros((0,)), np.float64(2)])
@pytest.mark.parametrize("reduction", spec.REDUCTIONS[1:])
def test_reduce_nothing(weights, reduction):
    assert spec.reduce(OPS, np.ones((3, 0)), weights, reduction) == 0


def test_reduce_rounds_once():
    losses = np.full(3, 0.1, np.float16)
    weighted = spec.reduce(OPS, losses, np.array([0.1, 0, 1]), "none")
    assert weighted.dtype == np.float16
    np.testing.assert_array_equal(
        weighted, (np.array([0.1, 0, 1]) * losses.astype(np.float64)).astype(np.float16)
    )
    assert spec.reduce(OPS, np.full(5000, 0.1, np.float16), None, "sum") == np.float16(
        5000 * float(np.float16(0.1))
    )


@pytest.mark.parametrize("what", ["Distance", "", "cosine", None])
def test_an_unknown_quantity_is_refused(what):
    """Check that an unknown quantity is refused.

    Otherwise it would get the derivatives of the similarity, whose sign is opposite to those of the distance.
    """
    message = f"what={what!r} must be one of 'similarity', 'distance', 'similarity_and_distance'"
    with pytest.raises(ValueError, match=re.escape(message)):
        closed.Rule(1, 0.0, what)

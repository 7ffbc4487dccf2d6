"""Tests of the rules that hold to the last bit: range, zeros, symmetry, scale, bad rows, layouts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cosgrad.numpy as C

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
MODERATE = st.floats(-(2.0**20), 2.0**20, width=32).filter(lambda v: v == 0 or abs(v) > 2.0**-20)


def pairs(elements):
    return st.integers(0, 40).flatmap(
        lambda n: st.tuples(*[hnp.arrays(np.float32, n, elements=elements)] * 2)
    )


@given(pairs(FINITE))
def test_range_and_symmetry(pair):
    x, y = pair
    S, D = C.cosine_similarity(x, y), C.cosine_distance(x, y)
    assert -1 <= S <= 1
    assert 0 <= D <= 2
    assert C.cosine_similarity(y, x) == S
    assert C.cosine_distance(y, x) == D


@given(pairs(MODERATE))
def test_scaling_by_a_power_of_two_changes_no_bit(pair):
    x, y = pair
    for a, b in ((x * 8, y), (x, y / 1024), (x * 2, y * 4)):
        assert C.cosine_similarity(a, b) == C.cosine_similarity(x, y)
        assert C.cosine_distance(a, b) == C.cosine_distance(x, y)


def test_a_vector_agrees_with_itself(rng, dtype):
    x = rng.standard_normal((500, 37)).astype(dtype)
    for y in (x, x * dtype.type(2)):
        assert (C.cosine_similarity(x, y) == 1).all()
        assert (C.cosine_distance(x, y) == 0).all()


def test_an_exact_multiple_is_at_no_distance(rng):
    x = rng.integers(-2000, 2000, (500, 37)).astype(np.float32)
    assert (C.cosine_distance(x, 3 * x) == 0).all()
    assert (C.cosine_distance(x.astype(float), 3 * x.astype(float)) <= 2.0**-300).all()


def test_zero_and_empty_vectors(dtype):
    x, zero = np.ones(5, dtype), np.zeros(5, dtype)
    for a, b in ((x, zero), (zero, x), (zero, zero)):
        assert C.cosine_similarity(a, b) == 0
        assert C.cosine_distance(a, b) == 1
        assert not np.any(C.cosine_similarity_grad(a, b))
    assert C.cosine_similarity(x[:0], x[:0]) == 0
    assert C.cosine_distance(x[:0], x[:0]) == 1
    assert not C.normalize(zero).any()
    assert C.cosine_similarity(np.ones((0, 3), dtype), np.ones((0, 3), dtype)).shape == (0,)


@pytest.mark.parametrize("other", [(1, 3), (3,), (0, 3)])
def test_an_empty_batch_adds_nothing_to_what_is_broadcast(other, dtype):
    x, y = np.ones((0, 3), dtype), np.ones(other, dtype)
    for a, b in ((x, y), (y, x)):
        gradients = C.cosine_similarity_grad(a, b)
        assert [g.shape for g in gradients] == [a.shape, b.shape]
        assert not any(g.any() for g in gradients)


def test_the_gradient_at_a_zero_vector_with_eps():
    x, y = np.zeros(2), np.array([3.0, 4.0])
    gx, gy = C.cosine_similarity_grad(x, y, eps=1e-8)
    np.testing.assert_allclose(gx, [0.6e8, 0.8e8], rtol=1e-15)
    assert not gy.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_row_is_nan_and_changes_no_other(bad, rng, dtype):
    x, y = (rng.standard_normal((6, 19)).astype(dtype) for _ in range(2))
    good = [
        C.cosine_similarity(x, y),
        C.cosine_distance(x, y),
        *C.cosine_similarity_grad(x, y),
        C.normalize(x),
    ]
    x[2, 7] = bad
    y[2] = 0
    found = [
        C.cosine_similarity(x, y),
        C.cosine_distance(x, y),
        *C.cosine_similarity_grad(x, y),
        C.normalize(x),
    ]
    for before, after in zip(good, found, strict=True):
        assert np.isnan(after[2]).all()
        np.testing.assert_array_equal(np.delete(after, 2, 0), np.delete(before, 2, 0))


def test_an_infinite_cotangent_makes_its_row_nan():
    gx, gy = C.cosine_similarity_grad(np.ones((2, 3)), np.eye(2, 3), np.array([np.inf, 1.0]))
    assert np.isnan(gx[0]).all()
    assert np.isnan(gy[0]).all()
    assert np.isfinite(gx[1]).all()


def test_a_gradient_beyond_the_range_is_infinite_and_below_it_rounds():
    tiny, one = np.array([1e-310, 0.0]), np.array([1.0, 1.0])
    gx, _ = C.cosine_similarity_grad(tiny, one)
    assert gx[1] == np.inf
    gx, _ = C.cosine_similarity_grad(tiny, one, 1e-20)
    np.testing.assert_allclose(gx[1], 1e290 / np.sqrt(2), rtol=1e-10)
    huge = np.array([1e308, 0.0])
    gx, _ = C.cosine_similarity_grad(huge, one)
    np.testing.assert_allclose(gx[1], 1e-308 / np.sqrt(2), rtol=0, atol=2.0**-1074)


def test_subnormals_count_where_the_host_flushes_them():
    # The folder tests/torch can be imported as a module `torch`, but it has no `torch._C`.
    pytest.importorskip("torch._C")
    import torch

    x, y = np.array([1e-40, 2e-40, 3e-41], np.float32), np.array([1.0, 2.0, 0.5])
    z = x[::-1].copy()
    expected = C.cosine_similarity(x, y), C.cosine_similarity_hvp(x, z, x, x)[0], C.normalize(x)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        found = C.cosine_similarity(x, y), C.cosine_similarity_hvp(x, z, x, x)[0], C.normalize(x)
        assert np.float32(1e-40) * np.float32(1) == 0, "the host's own arithmetic flushes again"
    finally:
        torch.set_flush_denormal(False)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gradient_of_one_operand_does_not_depend_on_whether_the_other_is_wanted():
    x, y = np.array([180, -135], np.float32) / 128, np.array([3, 4], np.float32)
    g = np.full(2, float.fromhex("0x1.4070e2p+23"), np.float32)
    full = C.cosine_similarity_grad(np.tile(x, (2, 1)), np.tile(y, (2, 1)), g, eps=3.0)[1]
    np.testing.assert_array_equal(C.cosine_similarity_grad(x[None], np.tile(y, (2, 1)), g, eps=3.0)[1], full)


def test_an_infinite_eps_leaves_nothing():
    x, y = np.array([1.0, 2, 3]), np.array([3.0, 1, 3])
    assert C.cosine_similarity(x, y, eps=np.inf) == 0
    assert C.cosine_distance(x, y, eps=np.inf) == 1
    assert not np.any([C.normalize(x, eps=np.inf), *C.cosine_similarity_grad(x, y, eps=np.inf)])


def test_a_direction_whose_products_underflow():
    J = C.cosine_similarity_jvp([2.0**-199, 0], [2.0**-199] * 2, [2.0**-290, 2.0**-890], [0, 0])
    np.testing.assert_allclose(J, 2.0**-890 / (2.0**-199 * 2**0.5), rtol=1e-15)


def test_the_error_of_a_gradient_does_not_grow_with_the_length():
    n = 10**6
    x, y = (
        np.full(n, float.fromhex("0x1.ab4bf088cd18ep+0")),
        np.full(n, float.fromhex("0x1.85e69710104e4p+0")),
    )
    y[0] = float.fromhex("0x1.85e69710104e5p+0")
    gx, _ = C.cosine_similarity_grad(x, y)
    # Exact rational arithmetic gives -8.734471197033326e-29. 2^-96 of the terms of the gradient is 2.5e-35.
    assert abs(gx[1] + 8.734471197033326e-29) < 2.5e-35


def test_sums_that_round_the_same_way_seven_times():
    # All products are in one lane. This is the worst error that a chain of eight can cause in the factor d /
    # p.
    x, y = np.zeros((2, 80), np.float32)
    x[0], y[0] = float.fromhex("0x1.000048p+0"), float.fromhex("0x1.000016p+0")
    x[8:73:8], y[8:73:8] = float.fromhex("0x1.6a0838p-27"), float.fromhex("0x1.6a23a8p-27")
    gx, _ = C.cosine_similarity_grad(x, y)
    # Exact rational arithmetic gives -2.6557e-19. The tolerance is 2^-50 of each of the two terms, which are
    # 1.
    assert abs(gx[0] + 2.6557e-19) <= 2.0**-49


@settings(max_examples=60)
@given(st.data())
def test_the_same_bits_in_every_layout(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6), "shape")
    axis = data.draw(st.integers(-len(shape), len(shape) - 1), "axis")
    order = data.draw(st.permutations(range(len(shape))), "order")
    step = data.draw(st.sampled_from([1, -1, 2]), "step")
    rng = np.random.default_rng(data.draw(st.integers(0, 1000), "seed"))
    x, y = rng.standard_normal((2, *shape))
    layout = np.empty([2 * shape[k] for k in order]).transpose(np.argsort(order))
    view = layout[tuple(slice(None, n * abs(step), abs(step)) for n in shape)]
    view = view[tuple(slice(None, None, -1) for _ in shape)] if step < 0 else view
    view[...] = x
    batch = x.sum(axis).shape
    g = rng.standard_normal(batch)
    np.testing.assert_array_equal(
        C.cosine_similarity(view, y, axis=axis), C.cosine_similarity(x, y, axis=axis)
    )
    np.testing.assert_array_equal(C.cosine_distance(view, y, axis=axis), C.cosine_distance(x, y, axis=axis))
    np.testing.assert_array_equal(C.normalize(view, axis=axis), C.normalize(x, axis=axis))
    for a, b in zip(
        C.cosine_similarity_grad(view, y, g, axis=axis),
        C.cosine_similarity_grad(x, y, g, axis=axis),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)

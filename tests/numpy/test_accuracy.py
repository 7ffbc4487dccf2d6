"""Tests of values and derivatives against the oracle, on inputs that are chosen to be hard."""

import numpy as np
import pytest
from held import check
from mpmath import mpf

import cosgrad.numpy as C
from cosgrad.verify import bounds, inputs, oracle
from cosgrad.verify.ulp import errors

LENGTHS = (1, 2, 3, 15, 16, 17, 100, 768)
ONE = [mpf(1)]


@pytest.fixture(params=list(inputs.FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LENGTHS)
def batch(request: pytest.FixtureRequest, family: str, dtype_name: str, seed: int) -> inputs.Batch:
    return inputs.FAMILIES[family](seed, request.param, dtype_name)


def test_similarity(batch, dtype):
    S = C.cosine_similarity(batch.x.astype(dtype), batch.y.astype(dtype))
    check(
        batch,
        S,
        [p.similarity for p in batch.pairs],
        ONE * len(batch),
        bounds.similarity(batch.dtype, batch.n),
    )


def test_distance(batch, dtype):
    D = C.cosine_distance(batch.x.astype(dtype), batch.y.astype(dtype))
    check(
        batch, D, [p.distance for p in batch.pairs], ONE * len(batch), bounds.distance(batch.dtype, batch.n)
    )


def test_gradients(batch, dtype):
    got = C.cosine_similarity_grad(batch.x.astype(dtype), batch.y.astype(dtype), batch.g.astype(dtype))
    truth, bound = batch.gradients, bounds.gradient(batch.dtype, batch.n)
    for k in range(2):
        check(batch, got[k], truth.true[k], truth.scale[k], bound)


def test_total_derivative(batch, dtype):
    x, y, u, v = (a.astype(dtype) for a in (batch.x, batch.y, batch.u, batch.v))
    J = C.cosine_similarity_jvp(x, y, u, v)
    rows = list(zip(batch.pairs, batch.u, batch.v, strict=True))
    true = [p.total_derivative(a, b) for p, a, b in rows]
    scale = [p.direction_scale(a, b) for p, a, b in rows]
    check(batch, J, true, scale, bounds.total_derivative(batch.dtype, batch.n))


@pytest.mark.parametrize("n", [1, 3, 17, 100])
def test_hessian_product(n, dtype, dtype_name, seed):
    batch = inputs.ordinary(seed, n, dtype_name)
    x, y, u, v, g = (a.astype(dtype) for a in (batch.x, batch.y, batch.u, batch.v, batch.g))
    got = C.cosine_similarity_hvp(x, y, u, v, g)
    rows = list(zip(batch.pairs, batch.u, batch.v, batch.g.tolist(), strict=True))
    for k in range(2):
        true = [t for p, a, b, c in rows for t in p.hessian_product(a, b, c)[k]]
        scale = [t for p, a, b, c in rows for t in p.hessian_scale(a, b, c)[k]]
        check(batch, got[k], true, scale, bounds.hessian(dtype_name, n))


def test_unit_vectors(batch, dtype):
    got = C.normalize(batch.x.astype(dtype))
    true = [t for row in batch.x for t in oracle.normalize(row)]
    check(batch, got, true, [mpf(0)] * len(true), bounds.unit_vector(batch.dtype, batch.n))


@pytest.mark.parametrize("ratio", [0.5, 1 - 1e-9, 1.0, 1 + 1e-15, 1 + 1e-12, 1.5, 1e6])
def test_eps_on_either_side_of_a_norm(ratio, dtype, dtype_name, seed):
    batch = inputs.near(seed, 17, dtype_name)
    for x, y, g in zip(batch.x, batch.y, batch.g.tolist(), strict=True):
        eps = float(np.linalg.norm(x)) * ratio
        pair = oracle.Pair(x, y, eps)
        a, b = x.astype(dtype), y.astype(dtype)
        S, D = C.cosine_similarity(a, b, eps=eps), C.cosine_distance(a, b, eps=eps)
        assert errors(S, [pair.similarity], dtype_name).ulp[0] <= 0.501, (eps, x, y)
        assert errors(D, [pair.distance], dtype_name).ulp[0] <= 0.501, (eps, x, y)
        got, true, scale = (
            C.cosine_similarity_grad(a, b, g, eps=eps),
            pair.gradient(g),
            pair.gradient_scale(g),
        )
        for k in range(2):
            measured = errors(np.asarray(got[k], np.float64), true[k], dtype_name)
            allowed = bounds.gradient(dtype_name, 17).allowed(measured.in_ulp(scale[k]))
            assert (measured.ulp <= allowed).all(), (eps, x, y)


@pytest.mark.parametrize("n", [4097, 100_000])
def test_long_rows(n, dtype, dtype_name, seed):
    batch = inputs.long(seed, n, dtype_name)
    x, y = batch.x.astype(dtype), batch.y.astype(dtype)
    S, D = C.cosine_similarity(x, y), C.cosine_distance(x, y)
    check(batch, S, [p.similarity for p in batch.pairs], ONE * len(batch), bounds.similarity(dtype_name, n))
    check(batch, D, [p.distance for p in batch.pairs], ONE * len(batch), bounds.distance(dtype_name, n))

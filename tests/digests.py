"""Digests of the results of the kernel: one for each function, dtype and batch.

`python tests/digests.py` prints them as JSON.

NaN has no canonical sign or payload, so every NaN is hashed as the same number.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator

import ml_dtypes
import numpy as np

import cosgrad.numpy as C
from cosgrad import _native
from cosgrad.numpy._arrays import address, keeping_subnormals, view
from cosgrad.verify import inputs

SEED = int(os.environ.get("COSGRAD_TEST_SEED", "20261121"))
LENGTHS = (1, 2, 3, 15, 16, 17, 100, 768, 4097)
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}

Array = np.ndarray


@keeping_subnormals
def gradients(x: Array, y: Array, g: Array, eps: float, **options: bool) -> list[Array]:
    """Return both gradients, then each one computed alone, by the native function with the given options."""
    found: list[Array] = []
    for wanted in ((True, True), (True, False), (False, True)):
        gx, gy = (np.empty_like(a) if w else None for a, w in zip((x, y), wanted, strict=True))
        _native.backward(
            _native.dtypes.index(x.dtype.name),
            1,
            x.ndim - 1,
            eps,
            *view(x),
            *view(y),
            address(g),
            g.strides,
            address(gx),
            () if gx is None else gx.strides,
            address(gy),
            () if gy is None else gy.strides,
            options.get("negate", False),
            options.get("skip_zero", False),
            0,
        )
        found += [a for a in (gx, gy) if a is not None]
    return found


@keeping_subnormals
def unit_gradient(x: Array, g: Array, eps: float) -> Array:
    """Return the product of g with the Jacobian of `normalize`, which the NumPy frontend does not have."""
    out = np.empty_like(x)
    index = _native.dtypes.index(x.dtype.name)
    _native.normalize_backward(
        index, 1, x.ndim - 1, eps, *view(x), address(g), g.strides, address(out), out.strides, 0
    )
    return out


def rows(x: Array, y: Array, g: Array, u: Array, v: Array, eps: float) -> Iterator[tuple[str, list[Array]]]:
    """Yield the results of every function of pairs of rows."""
    yield "S and D", [C.cosine_similarity(x, y, eps=eps), C.cosine_distance(x, y, eps=eps)]
    yield "gradients", gradients(x, y, g, eps)
    yield "JVP", [C.cosine_similarity_jvp(x, y, u, v, eps=eps)]
    yield "normalize", [C.normalize(x, eps=eps), C.normalize(y, eps=eps)]
    yield "normalize VJP", [unit_gradient(x, u, eps), unit_gradient(y, v, eps)]


def pairs(x: Array, y: Array, eps: float) -> Iterator[tuple[str, list[Array]]]:
    """Yield the results for all pairs of rows, and for one row paired with all rows."""
    g = np.resize(np.array([1.5, -0.75, 0.0, 2.0, -1.0], x.dtype), (len(x), len(y)))
    for name, a, b, c in (("all pairs", x[:, None], y[None], g), ("one with all", x[:1], y, g[0])):
        yield f"{name}, S and D", [C.cosine_similarity(a, b, eps=eps), C.cosine_distance(a, b, eps=eps)]
        yield f"{name}, gradients", gradients(a, b, c, eps, negate=True, skip_zero=True)


def blocks(name: str, dtype: np.dtype) -> Iterator[tuple[str, list[Array]]]:
    """Yield the results for all pairs of rows. Some shapes fill the blocks of the kernel, others do not."""
    rng = inputs.generator(SEED, "blocks", name)
    for N, M, n in ((5, 9, 7), (70, 130, 65), (12, 4, 900), (40, 1100, 3)):
        x, y = rng.standard_normal((N, n)), rng.standard_normal((M, n))
        x[1] = 1.001 * y[1]
        for what, arrays in pairs(x.astype(dtype), y.astype(dtype), 0.0):
            yield f"{what}, {N} and {M} rows of {n}", arrays
    x, y = rng.standard_normal((40, 5, 1, 8)).astype(dtype), rng.standard_normal((40, 1, 6, 8)).astype(dtype)
    yield "batches of pairs, gradients", list(C.cosine_similarity_grad(x, y, eps=1.5))


def spoilt(batch: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return a copy of the batch with zero rows, and with NaN or infinity in x, y and g."""
    x, y, g, u, v = (a.copy() for a in batch)
    x[0], y[1], x[2, -1], y[3, 0], g[4], g[5] = 0, 0, np.nan, np.inf, np.nan, -np.inf
    return x, y, g, u, v


def results() -> Iterator[tuple[str, list[Array]]]:
    """Yield every result of every batch with its name."""
    for name, dtype in DTYPES.items():
        for n in LENGTHS:
            whole, _ = inputs.together(inputs.hard(SEED, n, name))
            batch = tuple(getattr(whole, k).astype(dtype) for k in "xyguv")
            # The floor is larger than some of the norms and smaller than others.
            floor = float(np.median(np.abs(whole.x).max(1)))
            # The pairs of long rows take the most time here, so only some of these rows are used.
            few = slice(None, None, max(n // 256, 1))
            for eps in (0.0, floor):
                for what, arrays in (*rows(*batch, eps), *pairs(batch[0][few], batch[1][few], eps)):
                    yield f"{what}, {name}, n {n}, eps {eps:.3g}", arrays
            for what, arrays in rows(*spoilt(batch), 0.0):
                yield f"{what}, {name}, n {n}, zeros and NaN", arrays
            columns = [np.asfortranarray(a) if a.ndim == 2 else a for a in batch]
            for what, arrays in rows(*columns, 0.0):
                yield f"{what}, {name}, n {n}, strided", arrays
        many = inputs.generator(SEED, "many", name).standard_normal((2, 1100, 33)).astype(dtype)
        for what, arrays in (
            *rows(*many, many[0, :, 0], *many[::-1], 0.0),
            *pairs(many[0], many[1, :300], 0.0),
        ):
            yield f"{what}, {name}, many rows", arrays
        for what, arrays in blocks(name, dtype):
            yield f"{what}, {name}", arrays
        long = inputs.long(SEED, 100_000, name)
        batch = tuple(getattr(long, k).astype(dtype) for k in "xyguv")
        for what, arrays in (*rows(*batch, 0.0), *pairs(*batch[:2], 0.0)):
            yield f"{what}, {name}, long", arrays


def bits(array: Array) -> bytes:
    """Return the bytes of an array after all its NaNs are replaced by the same NaN."""
    array = np.array(array)
    array[np.isnan(array)] = np.nan
    return np.ascontiguousarray(array).tobytes()


def digests(of: Callable[[], Iterator[tuple[str, list[Array]]]] = results) -> dict[str, str]:
    """Return a digest of the results of each name."""
    return {name: hashlib.sha256(b"".join(map(bits, arrays))).hexdigest()[:16] for name, arrays in of()}


if __name__ == "__main__":
    json.dump({"isa": _native.isa, "digests": digests()}, sys.stdout)

"""A function under test, with its true results and its tolerances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from cosgrad.verify import bounds, diagnosis
from cosgrad.verify.adapters.base import Function
from cosgrad.verify.diagnosis import Evidence
from cosgrad.verify.findings import Finding, Verdict
from cosgrad.verify.inputs import Batch
from cosgrad.verify.measure import measure
from cosgrad.verify.oracle import mp
from cosgrad.verify.ulp import Array, Numbers

Explain = Callable[[Evidence], list[str]]


@dataclass
class Case:
    """A function under test and the standard for its results."""

    f: Function
    exact: bool
    """Whether the package's own bounds apply. Otherwise the bounds of the textbook formula apply."""
    dtypes: tuple[str, ...]
    """The dtypes in which a plain call works, the widest first."""
    seed: int = 0
    thorough: bool = False

    @property
    def wide(self) -> tuple[str, ...]:
        """Those of float64 and float32 that the function takes."""
        return tuple(d for d in self.dtypes if d in ("float64", "float32"))

    @property
    def half(self) -> tuple[str, ...]:
        """Those of float16 and bfloat16 that the function takes."""
        return tuple(d for d in self.dtypes if d in ("float16", "bfloat16"))

    @property
    def checked(self) -> tuple[str, ...]:
        """The dtypes that most checks use. For a user's function, they exclude half types."""
        return self.dtypes if self.exact else self.wide

    @property
    def breach(self) -> Verdict:
        """The verdict if a result breaks a promise of this package that the mathematics does not require."""
        return "fail" if self.exact else "hazard"

    def bound(self, standard: bounds.Standard, batch: Batch) -> bounds.Bound:
        """Return the bound of the package's own standard, or of the textbook formula."""
        return standard(batch.dtype, batch.n) if self.exact else bounds.textbook(batch.dtype, batch.n)

    def true_values(self, batch: Batch) -> Numbers:
        """Return the true S or D of every row."""
        return batch.similarities if self.f.sign > 0 else batch.distances

    def values(
        self, batch: Batch, got: Array, otherwise: Verdict = "fail", explain: Explain | None = None
    ) -> Finding:
        """Compare S or D with the oracle."""
        return measure(
            batch,
            [got[:, None]],
            [self.true_values(batch)],
            [Numbers(mp.mpf(1) for _ in batch.pairs)],
            self.bound(bounds.similarity if self.f.sign > 0 else bounds.distance, batch),
            quantity="S" if self.f.sign > 0 else "D",
            otherwise=otherwise,
            explain=explain or partial(diagnosis.of_value, batch, self.f.sign),
            raw=not self.exact,
        )

    def gradients(
        self,
        batch: Batch,
        got: tuple[Array, Array],
        otherwise: Verdict = "fail",
        explain: Explain | None = None,
    ) -> Finding:
        """Compare both gradients, cotangent included, with the oracle."""
        return measure(
            batch,
            got,
            batch.gradients.true,
            batch.gradients.scale,
            self.bound(bounds.gradient, batch),
            sign=self.f.sign,
            quantity="gradients" if self.f.sign > 0 else "",
            otherwise=otherwise,
            explain=explain or partial(diagnosis.of_gradient, batch, self.f.sign),
            raw=not self.exact,
        )

    def summed_gradients(
        self, batch: Batch, shape: tuple[int, int], got: tuple[Array, Array]
    ) -> Iterator[Finding]:
        """Compare the gradients of (M, 1, D) and (N, D) with the oracle.

        The rows of `batch` are all M times N pairs.
        """
        m, n = shape
        first_rows = (batch.rows([i * n for i in range(m)]), batch.rows(list(range(n))))
        for k, axis in enumerate((1, 0)):

            def added(numbers: Numbers, axis: int = axis) -> Numbers:
                table = np.array(numbers, dtype=object).reshape(m, n, batch.n)
                return Numbers(table.sum(axis=axis).ravel().tolist())

            yield measure(
                first_rows[k],
                [got[k]],
                [added(batch.gradients.true[k])],
                [added(batch.gradients.scale[k])],
                self.bound(bounds.gradient, batch),
                sign=self.f.sign,
                explain=lambda _: ["the gradient of a broadcast operand is not the sum over its rows"],
                raw=not self.exact,
            )

    def totals(
        self, batch: Batch, got: Array, otherwise: Verdict = "fail", standard: bounds.Standard | None = None
    ) -> Finding:
        """Compare the derivative along (u, v) with the oracle."""
        true, scale = batch.totals
        return measure(
            batch,
            [got[:, None]],
            [true],
            [scale],
            self.bound(standard or bounds.total_derivative, batch),
            sign=self.f.sign,
            otherwise=otherwise,
            explain=partial(diagnosis.of_total, batch, self.f.sign),
            raw=not self.exact or standard is not None,
        )

    def hessians(self, batch: Batch, got: tuple[Array, Array], otherwise: Verdict = "fail") -> Finding:
        """Compare the derivative of both gradients along (u, v) with the oracle."""
        return measure(
            batch,
            got,
            batch.hessians.true,
            batch.hessians.scale,
            self.bound(bounds.hessian, batch),
            sign=self.f.sign,
            otherwise=otherwise,
            explain=partial(diagnosis.of_hessian, batch, self.f.sign),
            raw=True,
        )

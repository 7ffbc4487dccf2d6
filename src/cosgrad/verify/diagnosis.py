"""Explanations of wrong results: compares them with the results that known mistakes would give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cosgrad.verify.findings import UNEXPLAINED
from cosgrad.verify.hypotheses import GRADIENTS, HESSIANS, SIMILARITIES, TOTALS, Frame, floors
from cosgrad.verify.inputs import Batch
from cosgrad.verify.ulp import FORMATS, Array, round_to


def frame(batch: Batch, sign: float) -> Frame:
    """Return the rows of a batch in the form that the hypotheses take."""
    return Frame(batch.x, batch.y, batch.g, batch.u, batch.v, sign)


class Evidence:
    """The returned values, the true values and the allowed rounding errors, as arrays of (rows, entries)."""

    def __init__(
        self, got: Sequence[Array], true: Sequence[Array], allowed: Sequence[Array], dtype: str
    ) -> None:
        self.got, self.true, self.dtype = list(got), list(true), dtype
        self.allowed = [np.where(a > 0, a, np.finfo(np.float64).tiny) for a in allowed]
        self.error = self.misfit(self.true)

    def misfit(self, predicted: Sequence[Array]) -> Array:
        """Return each row's largest difference from a prediction, in units of the allowed rounding error."""
        u = FORMATS[self.dtype].unit
        worst = np.zeros(len(self.got[0]))
        with np.errstate(all="ignore"):
            for g, p, a in zip(self.got, predicted, self.allowed, strict=True):
                part = np.abs(g - p) / (a + 16 * u * np.abs(p))
                part = np.where(np.isnan(part), np.inf, part)
                worst = np.maximum(worst, part.max(axis=1, initial=0.0))
        return worst

    def fits(self, predicted: Sequence[Array]) -> bool:
        """Return whether the prediction explains every row, up to rounding and 1/1000 of the row's error."""
        misfit = self.misfit(predicted)
        return bool((misfit <= 4.0 + 1e-3 * self.error).all() and misfit.max() <= 0.25 * self.error.max())

    def all(self, candidates: Iterable[tuple[str, Sequence[Array]]]) -> list[str]:
        """Return the sentence of every hypothesis that explains the returned values."""
        with np.errstate(all="ignore"):
            return [sentence for sentence, predicted in candidates if self.fits(predicted)]

    def factor(self) -> float | None:
        """Return the constant factor by which all values are too large, or None."""
        got = np.concatenate([a.ravel() for a in self.got])
        true = np.concatenate([a.ravel() for a in self.true])
        allowed = np.concatenate([a.ravel() for a in self.allowed])
        good = np.isfinite(got) & (np.abs(true) > allowed)
        if not good.any():
            return None
        weight = (true / allowed)[good]
        c = float(np.sum((got / allowed)[good] * weight) / np.sum(weight * weight))
        return c if self.fits([c * t for t in self.true]) else None

    def cast(self) -> str | None:
        """Return the narrowest dtype that holds all returned values exactly, or None."""
        got = np.concatenate([a.ravel() for a in self.got])
        if len(np.unique(np.abs(got))) < 4:
            return None
        narrower = [f for f in FORMATS.values() if f.digits < FORMATS[self.dtype].digits]
        for f in sorted(narrower, key=lambda f: f.digits):
            if np.array_equal(round_to(got, f.name), got):
                return f.name
        return None


def not_finite(got: Sequence[Array]) -> list[str]:
    """Describe NaN and Inf, which need no hypothesis."""
    for kind, test in (("NaN", np.isnan), ("Inf", np.isinf)):
        bad = [test(a) for a in got]
        if any(b.any() for b in bad):
            everywhere = all(b.all() for b in bad if b.size)
            return [f"{kind} {'everywhere' if everywhere else 'in some rows'} on finite input"]
    return []


def _otherwise(e: Evidence, what: str) -> list[str]:
    """Describe the error if no hypothesis fits."""
    if (c := e.factor()) is not None:
        by = f"{c:.6g}" if abs(c - 1) > 1e-4 else f"1 {'+' if c > 1 else '-'} {abs(c - 1):.2g}"
        return [f"{what} is wrong by a constant factor of {by}"]
    if (name := e.cast()) is not None:
        return [f"{what} has only the digits of {name}: something inside is cast down"]
    relative = max(
        float(np.max(np.abs(g - t), initial=0.0)) / (float(np.max(np.abs(t), initial=0.0)) or 1.0)
        for g, t in zip(e.got, e.true, strict=True)
    )
    return [f"{what} is off by {relative:.2g} of its size; {UNEXPLAINED}"]


def of_value(batch: Batch, sign: float, e: Evidence) -> list[str]:
    """Explain a wrong similarity or distance. Return every sentence that fits, the most likely first."""
    if sentences := not_finite(e.got):
        return sentences
    f = frame(batch, sign)
    what = "S" if sign > 0 else "D"

    def predicted(s: Array) -> list[Array]:
        return [s if sign > 0 else 1 - s]

    other = "it is a distance, 1 - S" if sign > 0 else "it is a similarity"
    swapped = (
        f"{other}: judge it with --quantity {'distance' if sign > 0 else 'similarity'}",
        [1 - e.true[0]],
    )
    simple = ((sentence, predicted(predict(f))) for sentence, predict in SIMILARITIES)
    if found := e.all([swapped, *simple]):
        return found
    top = float(np.max(np.abs(e.got[0]), initial=0.0))
    if sign > 0 and top < 1 and e.fits([np.clip(e.true[0], -top, top)]):
        return [f"S is clamped to [-t, t] with t = {_nines(top)}"]
    # If all norms are similar, an eps looks like a constant factor or offset. So these are tested first.
    if e.factor() is None:
        offset = float(np.median(e.got[0] - e.true[0]))
        if e.fits([e.true[0] + offset]):
            return [f"{what} is too {'large' if offset > 0 else 'small'} by a constant {abs(offset):.3g}"]
        if found := e.all((sentence, predicted(predict(f))) for sentence, predict in floors()):
            return found
    return _otherwise(e, what)


def _killed(e: Evidence, S: Array) -> list[str]:
    """Detect a clamp: the gradient is right, but exactly zero above some |S|."""
    dead = np.ones(len(S), dtype=bool)
    for a in e.got:
        dead &= (a == 0).all(axis=1)
    if not dead.any() or dead.all() or not e.fits([np.where(dead[:, None], 0.0, t) for t in e.true]):
        return []
    level = np.abs(S)
    beyond = level[dead].min()
    if (level[~dead] < beyond).all() or beyond > 0.999:
        return [f"the gradient is exactly zero at |S| = {_nines(beyond)}: a clamp kills it"]
    return ["the gradient is exactly zero in some rows"]


def _nines(level: float) -> str:
    return f"{level:.3g}" if level < 0.999 else f"1 - {1 - level:.1g}"


def of_gradient(batch: Batch, sign: float, e: Evidence) -> list[str]:
    """Explain wrong gradients, both together."""
    f = frame(batch, sign)
    return (
        not_finite(e.got)
        or e.all((sentence, predict(f)) for sentence, predict in GRADIENTS)
        or _killed(e, f.S[:, 0])
        or _otherwise(e, "the gradient")
    )


def of_total(batch: Batch, sign: float, e: Evidence) -> list[str]:
    """Explain a wrong derivative along a direction."""
    f = frame(batch, sign)
    candidates = ((sentence, [predict(f)]) for sentence, predict in TOTALS)
    return not_finite(e.got) or e.all(candidates) or _otherwise(e, "the derivative")


def of_hessian(batch: Batch, sign: float, e: Evidence) -> list[str]:
    """Explain a wrong second derivative."""
    f = frame(batch, sign)
    candidates = ((sentence, predict(f)) for sentence, predict in HESSIANS)
    return not_finite(e.got) or e.all(candidates) or _otherwise(e, "the second derivative")

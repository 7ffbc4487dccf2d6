"""Tests of `cosgrad verify` with functions of JAX and TensorFlow, and of the process's state afterwards."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

from cosgrad.verify import adapters
from cosgrad.verify.case import Case
from cosgrad.verify.findings import Row, summarize
from cosgrad.verify.registry import checks
from cosgrad.verify.subject import Subject, TargetError, cases, judge

SEED = 0
KERAS = "keras.losses:cosine_similarity"
OPTAX = "optax.losses:cosine_similarity"


@pytest.fixture(autouse=True)
def importable(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent))


def subject(framework, target, quantity="similarity", signature="rows"):
    pytest.importorskip(framework)
    module, _, name = target.rpartition(":")
    if module:
        pytest.importorskip(module.partition(".")[0])
    return Subject(framework, f"{module or f'targets_{framework}'}:{name}", quantity, signature, SEED)


@cache
def judged(*call) -> dict[str, Row]:
    with warnings.catch_warnings():
        return {row.check: row for _, _, _, row in judge(subject(*call)) if row is not None}


def row(check, *call) -> Row:
    """Return the result of one check."""
    (found,) = (c for c in checks() if c.name == check)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the target are not under test
        (case,) = cases(subject(*call), lambda: None)
        return summarize(call[1], check, found.asks, found.run(case))


def verdicts(rows, verdict):
    return {name for name, r in rows.items() if r.verdict == verdict}


def shown(rows):
    return "\n".join(f"{r.check}: {r.verdict}: {r.why}" for r in rows.values() if r.verdict != "pass")


WRONG = [
    ("jax", "absolute", "value", "the sign of <x, y> is lost"),
    ("jax", "added_eps", "value", "an eps of 1e-06 is added to |x| |y|"),
    ("jax", "batch_norm", "value", "divided by the norm of the whole batch"),
    ("jax", "cast_down", "value", "only the digits of float32"),
    ("jax", "detached_norm", "gradients", "the norms are treated as constants"),
    ("jax", "slightly_off", "gradients", "a constant factor of 1 + 0.0001"),
    ("jax", "misprint", "forward mode", "a minus where a plus belongs"),
    ("jax", "float32_result", "result type", "float64 arguments give a float32 result"),
    ("tensorflow", KERAS, "value", "the sign is flipped: it is -S"),
    ("tensorflow", KERAS, "gradients", "the gradient has the wrong sign"),
    ("tensorflow", "floored", "value", "an eps of 1e-03 floors each square"),
    ("tensorflow", "detached_norm", "gradients", "the norms are treated as constants"),
]


@pytest.mark.parametrize(("framework", "target", "check", "why"), WRONG)
def test_wrong_functions_fail_and_are_told_why(framework, target, check, why):
    got = row(check, framework, target)
    assert got.verdict == "fail"
    assert why in got.why


def test_tensorflow_1_assumes_unit_vectors():
    got = row("value", "tensorflow", "of_unit_vectors", "distance")
    assert got.verdict == "fail"
    assert "it is <x, y>: nothing divides by the norms" in got.why


def test_a_cut_graph():
    with pytest.raises(adapters.base.NoGradientError, match="the graph is cut"):
        row("gradients", "tensorflow", "detached")


HAZARDS = [
    ("jax", OPTAX, "zero vectors", "NaN at a zero vector"),
    ("jax", OPTAX, "near-parallel gradient", "% off at an angle of 1e-05, all are gone at an angle of 1e-07"),
    ("jax", OPTAX, "extreme scales", "underflow: it gives NaN and 0"),
    ("tensorflow", "plain", "zero vectors", "NaN at a zero vector"),
    ("tensorflow", "plain", "near-parallel gradient", "digits are lost near parallel"),
]


@pytest.mark.parametrize(("framework", "target", "check", "why"), HAZARDS)
def test_hazards_are_described(framework, target, check, why):
    got = row(check, framework, target)
    assert got.verdict == "hazard"
    assert why in got.why


@pytest.mark.parametrize("call", [("jax", "plain"), ("tensorflow", "plain")])
def test_right_functions_pass_with_their_hazards(call):
    rows = judged(*call)
    assert not verdicts(rows, "fail"), shown(rows)
    assert {"range", "zero vectors", "extreme scales", "near-parallel gradient"} <= verdicts(rows, "hazard")
    assert {"gradients", "Hessian product", "double backward", "forward mode", "vmap", "compile"} <= verdicts(
        rows, "pass"
    ), shown(rows)
    assert verdicts(rows, "skipped") == {"strides", "broadcast", "threads"}


@pytest.mark.parametrize(
    "call",
    [("jax", "ours"), ("jax", "ours_distance", "distance"), ("tensorflow", "ours")],
    ids=lambda call: "-".join(call),
)
def test_what_is_right_has_no_hazards(call):
    rows = judged(*call)
    assert not verdicts(rows, "fail") | verdicts(rows, "hazard"), shown(rows)
    assert verdicts(rows, "skipped") == {"strides", "broadcast", "threads"}


@pytest.mark.parametrize("check", ["gradients", "total derivative", "orthogonality", "compile"])
def test_optax_is_right_on_ordinary_vectors(check):
    assert row(check, "jax", OPTAX).verdict == "pass"


@pytest.mark.parametrize("check", ["zero vectors", "vmap"])
def test_closed_forms_are_right(check):
    assert row(check, "jax", "closed").verdict == "pass"


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
@pytest.mark.parametrize("check", ["adjoint", "vmap"])
@pytest.mark.parametrize(("target", "signature"), [("one_pair", "vectors"), ("one_column", "columns")])
def test_functions_of_one_pair(framework, check, target, signature):
    assert row(check, framework, target, "similarity", signature).verdict == "pass"


def test_control_flow_by_value_is_differentiated_without_jit():
    assert row("gradients", "jax", "branches").verdict == "pass"
    with pytest.raises(adapters.base.RaisedError, match="TracerBoolConversionError"):
        row("compile", "jax", "branches")


def test_a_gradient_that_ends():
    with pytest.raises(adapters.base.UnsupportedError, match="cannot be differentiated again"):
        row("Hessian product", "tensorflow", "once")


@pytest.mark.parametrize(
    ("framework", "target", "message"),
    [
        ("jax", "in_numpy", "returned ndarray, expected a JAX array"),
        ("jax", "keeps_axis", "it keeps the reduced axis"),
        ("tensorflow", "in_numpy", "returned ndarray, expected a tensor"),
    ],
)
def test_what_cannot_be_judged(framework, target, message):
    with pytest.raises(TargetError, match=message):
        row("value", framework, target)


def test_jax_is_left_without_x64():
    """Check that only calls in float64 enable x64, and that the setting is restored afterwards."""
    jax = pytest.importorskip("jax")
    seen = []

    def watched(x, y):
        seen.append((x.dtype.name, jax.config.jax_enable_x64))
        return (x * y).sum(-1)

    f = adapters.stranger("jax", watched, "similarity", "rows")
    x = np.ones((2, 3))
    f.value(x, x, "float64")
    f.vjp(x, x, np.ones(2), "float32")
    assert seen == [("float64", True), ("float32", False)]
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_subnormals_arrive_and_return(framework, dtype):
    """Check that subnormal numbers are passed in both directions.

    The frameworks' own conversions flush them.
    """
    pytest.importorskip(framework)
    f = adapters.stranger(framework, lambda x, y: x[:, 0], "similarity", "rows")
    least = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149}[dtype]
    x = np.full((2, 3), least)
    assert f.value(x, x, dtype).values.tolist() == [least, least]


class Off:
    """A frontend that is one ulp off in one result."""

    def __init__(self, frontend, name):
        self.frontend, self.name = frontend, name

    def __getattr__(self, name):
        return getattr(self.frontend, name)

    def value(self, *arguments):
        out = self.frontend.value(*arguments)
        if self.name == "value":
            out.values[0] = np.nextafter(out.values[0], 2.0)
        return out

    def vjp(self, *arguments):
        gradients = self.frontend.vjp(*arguments)
        if self.name == "vjp":
            gradients[1][0, 0] = np.nextafter(gradients[1][0, 0], 9.0)
        return gradients


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize(
    ("off", "verdict", "why"),
    [
        (None, "pass", ""),
        ("value", "fail", "the similarity has other bits than in NumPy"),
        ("vjp", "fail", "the gradient has other bits than in NumPy"),
    ],
)
def test_every_bit_is_that_of_numpy(framework, off, verdict, why):
    pytest.importorskip(framework)
    (found,) = (c for c in checks() if c.name == "as NumPy")
    case = Case(Off(adapters.frontend(framework, "similarity"), off), True, ("float32",), SEED)
    got = summarize(framework, "as NumPy", "", found.run(case))
    assert (got.verdict, got.why) == (verdict, why)


def test_closed_forms_are_held_to_their_bound(monkeypatch):
    """Check that closed forms are compared with their bound: an error of one thousandth is found.

    XLA inside TensorFlow cannot call the kernel.
    """
    pytest.importorskip("tensorflow")
    (found,) = (c for c in checks() if c.name == "closed forms")
    frontend = adapters.frontend("tensorflow", "similarity")
    case = Case(frontend, True, ("float32",), SEED)
    assert summarize("", "", "", found.run(case)).verdict == "pass"
    without_kernel = frontend.without_kernel
    scaled = lambda *a: [1.001 * t for t in without_kernel(*a)]  # noqa: E731
    monkeypatch.setattr(frontend, "without_kernel", scaled)
    got = summarize("", "", "", found.run(case))
    assert got.verdict == "fail"
    assert "S by the closed forms" in got.why or "gradient" in got.why

"""Tests of `cosgrad verify` with users' functions.

Wrong functions fail, each with its own diagnosis. Right functions pass.
"""

from __future__ import annotations

from functools import cache

import pytest

from cosgrad.verify.findings import Row
from cosgrad.verify.subject import Subject, TargetError, judge

SEED = 0


@cache
def judged(name: str, framework="torch", quantity="similarity", signature="rows") -> dict[str, Row]:
    print(f"seed {SEED}")
    subject = Subject(framework, f"targets:{name}", quantity, signature, SEED)
    return {row.check: row for _, _, _, row in judge(subject) if row is not None}


def verdicts(rows, verdict):
    return {name for name, row in rows.items() if row.verdict == verdict}


def shown(rows):
    return "\n".join(f"{r.check}: {r.verdict}: {r.why}" for r in rows.values() if r.verdict != "pass")


@pytest.fixture(autouse=True)
def importable(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent))


WRONG = [
    (
        "zero_gradient",
        "gradients",
        "the gradient is zero: the check that you had probably ran at x = y, where",
    ),
    ("misprint_in_jvp", "forward mode", "a minus where a plus belongs"),
    ("missing_inverse_norm", "gradients", "a factor 1/|x| is missing"),
    ("swapped_gradients", "gradients", "the gradients of x and y are swapped"),
    ("too_large", "value", "S is too large by a constant 0.001"),
    ("killed_by_clamp", "near-parallel gradient", "a clamp kills it"),
    ("spoiled_by_nan", "non-finite rows", "one row with NaN changes other rows"),
    ("wrong_axis", "value", "the norms are taken along the wrong axis"),
    ("detached_norm", "gradients", "the norms are treated as constants (detached)"),
    ("detached_norm", "orthogonality", "<x, dS/dx> = S: the norm is treated as a constant"),
    ("wrong_second_derivative", "Hessian product", "wrong by a constant factor of 0.5"),
    # PyTorch's gradcheck accepts these five functions.
    ("absolute", "value", "it is |S|: the sign of <x, y> is lost"),
    ("large_eps", "value", "an eps of 1e-03 floors each norm"),
    ("batch_norm", "value", "every row is divided by the norm of the whole batch"),
    ("gradient_off_by_1e4", "gradients", "wrong by a constant factor of 1 + 0.0001"),
    ("ignores_strides", "strides", "as if they were contiguous: strides are ignored"),
    # These are further mistakes.
    ("absolute", "gradients", "the gradient is that of |S|"),
    ("added_eps", "value", "an eps of 1e-06 is added to |x| |y|"),
    ("added_eps", "gradients", "the derivative of what the function returns, which is not the cosine"),
    ("scaled", "value", "S is wrong by a constant factor of 1.001"),
    ("coupled", "rows", "depends on the other rows of its batch"),
    ("mutates", "arguments", "it writes to its arguments"),
    ("widens", "result type", "float32 arguments give a float64 result"),
    ("narrows", "value", "only the digits of float32"),
    ("short", "value", "components beyond the last multiple of 8 are left out"),
    ("pearson", "value", "Pearson"),
    ("ignores_cotangent", "gradients", "the cotangent is ignored"),
    ("detached", "gradients", "the graph is cut"),
    ("right_distance", "value", "it is a distance, 1 - S: judge it with --quantity distance"),
]


@pytest.mark.parametrize(("name", "check", "why"), WRONG)
def test_wrong_functions_fail_and_are_told_why(name, check, why):
    rows = judged(name)
    assert rows[check].verdict == "fail", shown(rows)
    assert why in rows[check].why


@pytest.mark.parametrize("name", ["too_large", "zero_gradient", "swapped_gradients", "missing_inverse_norm"])
def test_a_failed_row_names_its_input_and_its_error(name):
    rows = judged(name)
    for check in verdicts(rows, "fail") & {"value", "gradients"}:
        row = rows[check]
        assert row.ulp is not None
        assert row.ulp > 1000
        assert all(part in row.where for part in ("ordinary", "float", " n ", " row ", "|x|", "angle"))


@pytest.mark.parametrize(
    "name", ["misprint_in_jvp", "wrong_second_derivative", "spoiled_by_nan", "ignores_strides"]
)
def test_only_what_is_wrong_fails(name):
    allowed = {
        "misprint_in_jvp": {"forward mode", "adjoint"},
        "wrong_second_derivative": {"Hessian product"},
        "spoiled_by_nan": {"non-finite rows"},
        "ignores_strides": {"strides", "broadcast"},
    }
    rows = judged(name)
    assert verdicts(rows, "fail") <= allowed[name], shown(rows)


RIGHT = [
    ("right", "torch", "similarity", "rows"),
    ("right_by_unit_vectors", "torch", "similarity", "rows"),
    ("right_closed", "torch", "similarity", "rows"),
    ("right_distance", "torch", "distance", "rows"),
    ("right_vectors", "torch", "similarity", "vectors"),
    ("RightModule", "torch", "similarity", "rows"),
    ("right_numpy", "numpy", "similarity", "rows"),
    ("F.cosine_similarity", "torch", "similarity", "rows"),
]


@pytest.mark.parametrize("call", RIGHT, ids=lambda c: c[0])
def test_right_functions_pass_with_their_hazards(call):
    rows = judged(*call)
    assert not verdicts(rows, "fail"), shown(rows)
    assert {"range", "zero vectors", "extreme scales"} <= verdicts(rows, "hazard")
    assert rows["value"].ulp < 50


def test_hazards_are_described():
    rows = judged("F.cosine_similarity")
    assert "explodes at a zero vector" in rows["zero vectors"].why
    assert "of parallel rows leave [-1, 1]" in rows["range"].why
    assert "digits are lost near parallel" in rows["near-parallel gradient"].why
    assert "underflow: it gives 0" in rows["extreme scales"].why


def test_distance_near_parallel_is_a_hazard_of_one_minus_s():
    rows = judged("right_distance", "torch", "distance")
    assert rows["near parallel"].verdict == "hazard"
    assert "digits are lost near parallel" in rows["near parallel"].why


def test_first_order_class_is_right_once_and_wrong_twice():
    rows = judged("FirstOrderOnly", "torch", "similarity", "columns")
    for check in ("value", "gradients", "total derivative", "orthogonality", "near-parallel gradient"):
        assert rows[check].verdict in ("pass", "hazard"), shown(rows)
    assert rows["gradients"].verdict == "pass"
    assert rows["Hessian product"].verdict == "fail"
    assert "saved in the forward without a graph" in rows["Hessian product"].why


def test_what_is_not_supported_is_skipped_with_the_reason():
    rows = judged("OnceDifferentiable")
    assert not verdicts(rows, "fail"), shown(rows)
    assert "once_differentiable" in rows["Hessian product"].why
    assert "must implement the jvp" in rows["forward mode"].why
    assert {"Hessian product", "double backward", "forward mode", "adjoint", "vmap"} <= verdicts(
        rows, "skipped"
    )
    assert "carry no gradient" in judged("right_numpy", "numpy")["gradients"].why


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("targets", "expected package.module:function"),
        ("targets:", "expected package.module:function"),
        ("no_such_module:f", "cannot import no_such_module: ModuleNotFoundError"),
        ("targets:no_such", "targets has no no_such"),
        ("targets:NOT_A_FUNCTION", "NOT_A_FUNCTION is int, not a function"),
        (
            "targets:three_arguments",
            "wrong signature for two arrays: (x, y, z): missing a required argument: 'z'",
        ),
        ("targets:raises", "raises on a plain call: RuntimeError: no such luck"),
        ("targets:other_axis", "returned shape (7,) .* it reduces the first axis, not the last"),
        ("targets:keeps_axis", "it keeps the reduced axis"),
        ("targets:mean", "it reduces the batch too"),
        ("targets:matrix", "it compares every row with every row"),
        ("targets:pair_of_results", "returned tuple, expected a tensor"),
    ],
)
def test_what_cannot_be_judged(target, message):
    with pytest.raises(TargetError) as error:
        list(judge(Subject("torch", target)))
    for part in message.split(" .* "):
        assert part in str(error.value)


def test_wrong_signature_option():
    with pytest.raises(TargetError, match="--signature columns"):
        list(judge(Subject("torch", "targets:right", signature="columns")))

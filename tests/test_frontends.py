"""Tests that all frontends have the same bits, the same losses and the same errors."""

import re

import ml_dtypes
import numpy as np
import pytest
from frontends import FRAMEWORKS, Numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
OTHERS = [name for name in FRAMEWORKS if name != "numpy"]


@pytest.fixture(scope="module")
def frontends() -> dict[str, Numpy]:
    """Return a cache of frontends, so that each one is created once."""
    return {}


def make(frontends: dict[str, Numpy], name: str) -> Numpy:
    if name not in frontends:
        frontends[name] = FRAMEWORKS[name]()
    return frontends[name]


@pytest.fixture(params=list(FRAMEWORKS))
def frontend(request: pytest.FixtureRequest, frontends: dict[str, Numpy]) -> Numpy:
    return make(frontends, request.param)


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest, frontends: dict[str, Numpy]) -> Numpy:
    return make(frontends, request.param)


@pytest.fixture
def numpy(frontends: dict[str, Numpy]) -> Numpy:
    return make(frontends, "numpy")


@st.composite
def pairs(draw: st.DrawFn, dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """Return x and y that broadcast, a cotangent, an axis and an eps. Some rows are hard cases.

    Lengths are from a short list, because a compiler takes time for every new shape.
    """
    lengths = st.sampled_from([1, 2, 3, 17])
    shapes = draw(mutually_broadcastable_shapes(num_shapes=2, min_dims=1, max_dims=3, min_side=1, max_side=3))
    shape = list(shapes.result_shape)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    n = draw(lengths)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def operand(own: tuple[int, ...]) -> np.ndarray:
        place = axis % len(shape) - (len(shape) - len(own))
        own = list(own)
        if place >= 0 and (own[place] > 1 or draw(st.booleans())):
            own[place] = n  # otherwise one number is broadcast along the vector
        scale = draw(st.sampled_from([1.0, 1.0, 0.0, 2.0**-20, 2.0**12, 2.0**-100, 2.0**90]))
        return scale * rng.standard_normal(own)

    x, y = operand(shapes.input_shapes[0]), operand(shapes.input_shapes[1])
    if draw(st.booleans()):  # nearly parallel
        y = np.broadcast_to(x, np.broadcast_shapes(x.shape, y.shape)) * (1 + 1e-4 * y)
    full = np.broadcast_shapes(x.shape, y.shape)
    axis = axis % len(shape) - len(shape)
    batch = full[: axis % len(full)] + full[axis % len(full) + 1 :]
    eps = draw(st.sampled_from([0.0, 1e-3]))
    with np.errstate(over="ignore"):
        return x.astype(dtype), y.astype(dtype), rng.standard_normal(batch).astype(dtype), axis, eps


def same(got: np.ndarray, want: np.ndarray) -> None:
    want = np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    bits = f"u{want.dtype.itemsize}"
    equal = (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
    assert equal.all(), f"{got[~equal]} for {want[~equal]}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["cosine_similarity", "cosine_distance"])
def test_the_same_bits_in_every_frontend(name, dtype, other, numpy, seed):
    @settings(
        max_examples=25, deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(pairs(dtype))
    def check(drawn) -> None:
        x, y, g, axis, eps = drawn
        same(other.value(name, x, y, axis, eps, True), numpy.value(name, x, y, axis, eps, True))
        got, want = (f.gradients(name, x, y, g, axis, eps) for f in (other, numpy))
        same(got[0], want[0])
        same(got[1], want[1])

    check()


TUTORIAL = (
    np.array([[1, 4, 5], [5, 5, 7]], np.float32),
    np.array([[3, 2, 5], [3, 2, 7]], np.float32),
)


def test_the_tutorials_loss(frontend):
    assert frontend.loss(*TUTORIAL) == np.float32(0.0771687014521354702)
    assert frontend.loss(*TUTORIAL, assume_normalized=True) == -54


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean", "nonzero_mean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_agree_within_the_rounding_of_a_mean(reduction, dtype, other, numpy, rng):
    x, y = rng.standard_normal((2, 100, 17)).astype(dtype)
    weights = (rng.random(100) * (rng.random(100) < 0.8)).astype(dtype)
    x[weights == 0] = np.nan
    got, want = (frontend.loss(x, y, weights=weights, reduction=reduction) for frontend in (other, numpy))
    # The loss is a sum of 100 positive terms in any order, in the dtype of the result or wider, and its
    # rounding.
    assert got == pytest.approx(want, rel=101 * float(np.finfo(dtype).eps))


ONES, NAN = np.ones((2, 3), np.float32), float("nan")

# The keywords of the call, its arrays, the class of the error, and the message of the NumPy frontend.
ERRORS = {
    "axis": (lambda f: {f.axis: 2}, (ONES, ONES), ValueError, "axis=2 is out of range for arrays of rank 2"),
    "axis type": (lambda f: {f.axis: 0.5}, (ONES, ONES), TypeError, "axis=0.5 must be an integer"),
    "eps": (lambda f: {"eps": -1.0}, (ONES, ONES), ValueError, "eps=-1.0 must be at least 0"),
    "eps nan": (lambda f: {"eps": NAN}, (ONES, ONES), ValueError, "eps=nan must be at least 0"),
    "eps type": (lambda f: {"eps": "x"}, (ONES, ONES), TypeError, "eps='x' must be a number"),
    "shapes": (
        lambda f: {f.axis: -1}, (ONES, np.ones((2, 2), np.float32)), ValueError,
        "x of shape (2, 3) and y of shape (2, 2) must broadcast to one shape",
    ),
    "complex": (
        lambda f: {}, (ONES.astype(np.complex64), ONES), TypeError, "x is of dtype complex64, must be"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(ERRORS))
@pytest.mark.parametrize("name", ["cosine_similarity", "cosine_distance"])
def test_the_same_errors_in_every_frontend(case, name, frontend):
    words, arrays, kind, message = ERRORS[case]
    x, y = map(frontend.tensor, arrays)
    with pytest.raises(kind) as error:
        getattr(frontend.frontend, name)(x, y, **words(frontend))
    said = str(error.value)
    assert said.startswith(in_the_words_of(frontend, message)), said


def in_the_words_of(frontend: Numpy, message: str) -> str:
    for word, own in (
        ("axis", frontend.axis),
        ("arrays", frontend.array + "s"),
        ("x", frontend.first),
        ("y", frontend.second),
    ):
        message = re.sub(rf"\b{word}\b", own, message)
    return message.replace(
        "dtype complex64", f"dtype {'torch.' * (frontend.name == 'torch')}complex64"
    ).replace(f"eps='{frontend.first}'", "eps='x'")


LOSS_ERRORS = {
    "reduction": (
        {"reduction": "average"},
        "reduction='average' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'",
    ),
    "weights": (
        {"weights": np.ones(3, np.float32)},
        "weights of shape (3,) must broadcast to the losses' shape (2,) without enlarging it",
    ),
    "larger weights": (
        {"weights": np.ones((5, 2), np.float32)},
        "weights of shape (5, 2) must broadcast to the losses' shape (2,) without enlarging it",
    ),
}


@pytest.mark.parametrize("case", list(LOSS_ERRORS))
def test_the_same_errors_of_the_losses(case, frontend):
    options, message = LOSS_ERRORS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        frontend.loss(ONES, ONES, **options)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_a_target_may_have_any_signed_dtype(dtype, frontend):
    x, y = np.array([[3.0, 4.0], [3.0, 4.0]], np.float32), np.array([[4.0, 3.0], [4.0, 3.0]], np.float32)
    with frontend.context():
        losses = frontend.frontend.cosine_embedding_loss(
            frontend.tensor(x),
            frontend.tensor(y),
            frontend.tensor(np.array([1, -1], dtype)),
            reduction="none",
        )
        np.testing.assert_allclose(frontend.numpy(losses), [0.04, 0.96], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_an_unsigned_target_holds_1_only(dtype, frontend):
    minus_1 = np.array([-1]).astype(dtype)
    with frontend.context():
        x = frontend.tensor(ONES)
        ones, target = (
            frontend.tensor(np.array([1, 1], dtype)),
            frontend.tensor(np.array([1, minus_1[0]], dtype)),
        )
        assert float(frontend.frontend.cosine_embedding_loss(x, -x, ones)) == 2
        message = f"target holds {minus_1[0]}, must hold only \\+1 and -1; .*{dtype} cannot hold -1"
        with pytest.raises(ValueError, match=message):
            frontend.frontend.cosine_embedding_loss(x, x, target)


def test_a_target_of_booleans_is_refused(frontend):
    x = frontend.tensor(ONES)
    for values in ([True, True], [True, False]):
        with pytest.raises(TypeError, match=r"target is of dtype .*bool, must be of numbers: .*where"):
            frontend.frontend.cosine_embedding_loss(x, x, frontend.tensor(np.array(values)))


def test_where_a_target_cannot_be_seen_the_loss_of_its_row_is_nan(other):
    """Check targets whose values are not known, because they go through a compiler or a transform."""

    def losses(target):
        x = other.tensor(ONES)
        return other.frontend.cosine_embedding_loss(x, x, target, margin=0.25, reduction="none")

    hidden = {
        "torch": lambda f, t: other.torch.func.vmap(lambda _: f(t))(other.torch.ones(1))[0],
        "jax": lambda f, t: other.jax.jit(f)(t),
        "tensorflow": lambda f, t: other.tf.function(f)(t),
    }[other.name]
    for values, dtype in (([1, 0], "int32"), ([1, 255], "uint8"), ([1, 65535], "uint16"), ([1, 2], "int8")):
        got = other.numpy(hidden(losses, other.tensor(np.array(values, dtype))))
        np.testing.assert_array_equal(got, [0, np.nan])
    got = other.numpy(hidden(losses, other.tensor(np.array([1, -1], "int8"))))
    np.testing.assert_array_equal(got, [0, 0.75])


def test_a_target_that_is_neither_1_nor_minus_1(frontend):
    x, target = frontend.tensor(ONES), frontend.tensor(np.array([1, 0]))
    with pytest.raises(ValueError, match=re.escape("target holds 0, must hold only +1 and -1")):
        frontend.frontend.cosine_embedding_loss(x, x, target)

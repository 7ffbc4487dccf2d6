"""Tests that the top level chooses the frontend by the arguments' type and imports no other framework."""

import subprocess
import sys

import numpy as np
import pytest
from frontends import FRAMEWORKS, Numpy

import cosgrad

OTHERS = [name for name in FRAMEWORKS if name != "numpy"]
IMPORTED = ("torch", "jax", "tensorflow", "keras")


def test_importing_cosgrad_imports_no_framework():
    program = (
        "import sys, cosgrad, cosgrad.numpy; cosgrad.cosine_similarity([1.0], [1.0]);"
        f"print([name for name in {IMPORTED} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.fixture(params=OTHERS)
def frontend(request: pytest.FixtureRequest) -> Numpy:
    return FRAMEWORKS[request.param]()


@pytest.mark.parametrize("name", ["cosine_similarity", "cosine_distance"])
def test_arrays_go_to_their_framework_with_the_same_defaults(name, frontend):
    x, y = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32), np.array([[2.0, 1.0], [1.0, 0.0]], np.float32)
    x[0] *= 1e-25  # With an eps of 1e-8 this row would count as zero.
    a, b = frontend.tensor(x), frontend.tensor(y)
    function = getattr(cosgrad, name)
    assert isinstance(function(a, b), type(a))
    np.testing.assert_array_equal(frontend.numpy(function(a, b)), function(x, y))
    np.testing.assert_array_equal(frontend.numpy(function(a, b, axis=0)), function(x, y, axis=0))
    assert function(a, b, keepdims=True).shape == (2, 1)


def test_the_other_functions_go_there_too(frontend):
    x, y = np.array([[1.0, 2.0]], np.float32), np.array([[2.0, 1.0]], np.float32)
    a, b = frontend.tensor(x), frontend.tensor(y)
    np.testing.assert_array_equal(frontend.numpy(cosgrad.normalize(a)), cosgrad.normalize(x))
    assert cosgrad.cosine_distance_loss(a, b) == cosgrad.cosine_distance_loss(x, y)
    target = frontend.tensor(np.array([-1]))
    assert cosgrad.cosine_embedding_loss(a, b, target) == cosgrad.cosine_embedding_loss(x, y, [-1])


@pytest.mark.parametrize("frontend", ["torch", "jax"], indirect=True)
def test_the_contrastive_losses_go_to_the_frontends_that_have_them(frontend, rng):
    x, y = (frontend.tensor(a) for a in rng.standard_normal((2, 4, 3)).astype(np.float32))
    for name, arguments, options in (
        ("contrastive_loss", (x, y), {"temperature": 0.3, "symmetric": False}),
        ("nt_xent_loss", (x,), {"temperature": 0.3}),
        ("sigmoid_contrastive_loss", (x, y), {"scale": 3.0, "bias": -1.0}),
    ):
        own = getattr(frontend.frontend, name)(*arguments, **options)
        assert getattr(cosgrad, name)(*arguments, **options) == own


def test_a_frontend_without_contrastive_losses_is_named(rng):
    x = rng.standard_normal((4, 3))
    with pytest.raises(TypeError, match="x, y of numpy: contrastive_loss takes arrays of torch or jax"):
        cosgrad.contrastive_loss(x, x)


def test_a_variable_of_tensorflow_is_an_array_of_it():
    tf = pytest.importorskip("tensorflow")
    x = tf.Variable([[1.0, 2.0]])
    assert isinstance(cosgrad.cosine_similarity(x, x), tf.Tensor)


def test_two_frameworks_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="arguments of two frameworks: x of numpy, y of torch"):
        cosgrad.cosine_similarity(np.ones(2), torch.ones(2))


@pytest.mark.parametrize(("name", "called"), [
    ("jax", "JAX"),
    ("tensorflow", "TensorFlow"),
    ("keras", "Keras"),
    ("torch", "PyTorch"),
])  # fmt: skip
def test_a_framework_that_is_missing_is_named_and_the_others_work(name, called):
    program = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "import cosgrad\n"
        "try:\n"
        f"    import cosgrad.{name}\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "print(cosgrad.cosine_similarity([1.0], [1.0]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said = f'cosgrad.{name} needs {called}, which is not installed: pip install "cosgrad[{name}]"'
    assert run.stdout.splitlines() == [said, "1.0"]


@pytest.mark.parametrize(("name", "module", "old", "needed"), [
    ("jax", "jax", "0.7.2", "JAX 0.8"),
    ("tensorflow", "tensorflow", "2.15.1", "TensorFlow 2.16"),
    ("keras", "keras", "3.5.0", "Keras 3.6"),
    ("torch", "torch", "2.5.1", "PyTorch 2.6"),
])  # fmt: skip
def test_a_framework_that_is_too_old_is_named(name, module, old, needed):
    program = (
        "import sys, types\n"
        f"sys.modules[{module!r}] = types.SimpleNamespace(__version__={old!r})\n"
        "try:\n"
        f"    import cosgrad.{name}\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"cosgrad.{name} needs {needed} or newer, and {old} is installed" in run.stdout


def test_what_is_no_array_is_named_by_the_frontend_of_the_other():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x2 is NoneType, must be a tensor"):
        cosgrad.cosine_similarity(torch.ones(2), None)

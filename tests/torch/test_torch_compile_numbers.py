"""Tests of numbers in compiled calls.

One graph works for every value, and a value that eager calls refuse is refused.
"""

import math
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch_cases import matrices

import cosgrad
import cosgrad.torch as C

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*", "ignore::UserWarning:torch.*"
)
TARGET = torch.tensor([1, -1, -1, 1])
VALUES = [0.1 + 0.05 * i for i in range(12)]


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()


@pytest.fixture
def pair(seed):
    return matrices(seed)


NUMBERS = {
    "temperature": lambda x, y, t: C.contrastive_loss(x, y, temperature=t),
    "temperature of one matrix": lambda x, y, t: C.nt_xent_loss(x, temperature=t),
    "scale": lambda x, y, t: C.sigmoid_contrastive_loss(x, y, scale=t),
    "bias": lambda x, y, t: C.sigmoid_contrastive_loss(x, y, bias=t),
    "weights": lambda x, y, t: C.cosine_distance_loss(x, y, weights=t),
    "weights of unit vectors": lambda x, y, t: C.cosine_distance_loss(
        x, y, weights=t, reduction="none", assume_normalized=True
    ),
}
OPTIONS = {
    "margin": lambda x, y, t: C.cosine_embedding_loss(x, y, TARGET, margin=t),
    "eps of the similarity": lambda x, y, t: C.cosine_similarity(x, y, eps=10 * t),
    "eps of the distance": lambda x, y, t: C.cosine_distance(x, y, eps=10 * t),
    "eps of the unit vector": lambda x, y, t: C.normalize(x, eps=10 * t),
    "generic": lambda x, y, t: cosgrad.contrastive_loss(x, y, temperature=t),
}


def compilations(compiled, function, pair, values):
    """Return the number of compilations for these values.

    Values and gradients are compared with those of eager calls.
    """
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(compiled, backend=counter, fullgraph=True)
    for value in values:
        x = pair[0].clone().requires_grad_()
        got, expected = compiled(x, pair[1], value), function(x, pair[1], value)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-14)
        gradients = [torch.autograd.grad(t.sum(), x)[0] for t in (got, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)
    return counter.frame_count


@pytest.mark.parametrize("name", [*NUMBERS, *OPTIONS])
def test_a_schedule_of_numbers_compiles_thrice_at_most(name, pair):
    function = (NUMBERS | OPTIONS)[name]
    assert compilations(function, function, pair, VALUES) <= 3


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.tensor, lambda t: torch.tensor([t])])
@pytest.mark.parametrize("name", ["temperature", "bias"])
def test_a_schedule_of_arrays_compiles_thrice_at_most(name, kind, pair):
    function = NUMBERS[name]
    assert compilations(function, function, pair, map(kind, VALUES)) <= 3


@pytest.mark.parametrize(("make", "attribute", "target"), [
    (C.nn.ContrastiveLoss, "fixed_temperature", ()),
    (C.nn.SigmoidContrastiveLoss, "bias", ()),
    (C.nn.CosineEmbeddingLoss, "margin", (TARGET,)),
    (C.nn.CosineSimilarity, "eps", ()),
])  # fmt: skip
def test_a_schedule_of_a_module_compiles_thrice_at_most(make, attribute, target, pair):
    module = make()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, backend=counter, fullgraph=True)
    for value in VALUES:
        setattr(module, attribute, value)
        torch.testing.assert_close(compiled(*pair, *target), module(*pair, *target), rtol=1e-12, atol=1e-14)
    assert counter.frame_count <= 3


def test_a_dynamic_graph_keeps_the_kernel(pair):
    """Check a dynamic graph: every float in it is symbolic, and so is the default of eps."""
    compiled = torch.compile(C.cosine_similarity, backend="aot_eager", fullgraph=True, dynamic=True)
    for eps in (1e-8, 0.5):
        assert torch.equal(compiled(*pair, -1, eps), C.cosine_similarity(*pair, -1, eps))


REFUSED = {
    "temperature": (NUMBERS["temperature"], (0.0, -0.1, math.nan, math.inf)),
    "scale": (NUMBERS["scale"], (math.nan, -math.inf)),
    "bias": (NUMBERS["bias"], (math.inf,)),
    "eps": (OPTIONS["eps of the similarity"], (-0.1, math.nan)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_number_that_eager_calls_refuse_is_refused(name, pair):
    function, values = REFUSED[name]
    for value in values:
        message = rf"{name}=\S+ must be"
        with pytest.raises(ValueError, match=message):
            function(*pair, value)
        with pytest.raises(ValueError, match=message):
            torch.compile(function, backend="aot_eager")(*pair, value)
        torch.compiler.reset()
        with pytest.raises(RuntimeError, match=message):
            torch.compile(function, backend="aot_eager", fullgraph=True)(*pair, value)


@pytest.mark.parametrize("name", REFUSED)
def test_the_last_number_of_a_schedule_is_checked_too(name, pair):
    function, values = REFUSED[name]
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    for value in VALUES[:3]:
        compiled(*pair, value)
    with pytest.raises((ValueError, RuntimeError), match=rf"{name}=\S+ must be"):
        compiled(*pair, values[0])


@pytest.mark.parametrize("name", ["temperature", "scale", "bias"])
def test_a_tensor_is_checked_when_the_graph_runs(name, pair):
    function, values = REFUSED[name]
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    compiled(*pair, torch.tensor(0.5))
    for value in values:
        with pytest.raises(ValueError, match=f"{name}=.* must be finite"):
            compiled(*pair, torch.tensor(value))


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_under_a_transform_a_number_is_refused_and_a_tensor_gives_nan(value, pair):
    def slope(t):
        return torch.func.grad(lambda x: C.contrastive_loss(x, pair[1], temperature=t))

    with pytest.raises(ValueError, match=re.escape(f"temperature={value} must be")):
        slope(value)(pair[0])
    loss = torch.func.vmap(lambda t: C.contrastive_loss(*pair, temperature=t))(torch.tensor([value, 0.5]))
    assert loss.isnan().tolist() == [True, False]


GENERIC = {
    "cosine_similarity": lambda f, x, y: f(x, y, axis=0, keepdims=True),
    "cosine_distance": lambda f, x, y: f(x, y, eps=0.5),
    "normalize": lambda f, x, y: f(x),
    "pairwise_cosine_similarity": lambda f, x, y: f(x, y),
    "pairwise_cosine_distance": lambda f, x, y: f(x),
    "cosine_distance_loss": lambda f, x, y: f(x, y, weights=0.5, reduction="nonzero_mean"),
    "cosine_embedding_loss": lambda f, x, y: f(x, y, TARGET, margin=0.1),
    "contrastive_loss": lambda f, x, y: f(x, y, temperature=0.3),
    "nt_xent_loss": lambda f, x, y: f(x, temperature=0.3),
    "sigmoid_contrastive_loss": lambda f, x, y: f(x, y, scale=3.0),
}


def test_every_generic_function_is_traced(pair):
    assert GENERIC.keys() == set(cosgrad.__all__) - {"__version__"}
    for name, call in GENERIC.items():
        torch.compiler.reset()
        function = partial(call, getattr(cosgrad, name))
        compiled = torch.compile(function, backend="eager", fullgraph=True)
        assert torch.equal(compiled(*pair), function(*pair)), name


def test_a_generic_function_is_traced_before_its_frontend_is_imported():
    program = (
        "import sys, torch, cosgrad; x = torch.eye(2);"
        "f = torch.compile(cosgrad.cosine_similarity, backend='eager', fullgraph=True);"
        "assert 'cosgrad.torch' not in sys.modules; print(f(x, x).tolist())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[1.0, 1.0]"

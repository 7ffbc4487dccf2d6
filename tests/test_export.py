"""Tests of exported models that end in cosgrad functions, in processes that import fewer packages."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import contrastive_oracle
import held
import numpy as np
import pytest

from cosgrad.verify import bounds, inputs, oracle
from cosgrad.verify.ulp import FORMATS

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

import cosgrad.torch as C  # noqa: E402

# PyTorch's exporter causes this warning, because it copies an object that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")

TARGET = torch.tensor([1, -1, 1, -1, -1, 1])
WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.0, 1.0, 3.0])
N, WIDTH = 6, 5


class Model(torch.nn.Module):
    """A model that consists of one function."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, x, y):
        return self.function(x, y)


def onnx(model, *tensors, **options):
    """Export a model to ONNX and return a function of arrays that evaluates it in ONNX Runtime."""
    program = torch.onnx.export(model, tensors, dynamo=True, verbose=False, **options)
    return session(program.model_proto.SerializeToString())


def session(serialized):
    run = onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    names = [i.name for i in run.get_inputs()]
    return lambda *arrays: run.run(None, dict(zip(names, arrays, strict=False)))


@pytest.fixture
def pair(rng):
    x, y = rng.standard_normal((2, N, WIDTH)).astype(np.float32)
    x[1], y[2], y[3] = 0, 3 * x[2], -x[3]
    return x, y


def pairs(x, y):
    return [oracle.Pair(a, b) for a, b in zip(x, y, strict=True)]


def matrix(x, y):
    return [oracle.Pair(a, b) for a in x for b in y]


def reduced(losses, weights=None, reduction="mean"):
    return [oracle.reduce(list(losses), weights, reduction)]


# The function under test, and a function that returns the expected numbers.
FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "cosine_similarity": (
        lambda x, y: C.cosine_similarity(x, y, eps=0.0),
        lambda x, y: [p.similarity for p in pairs(x, y)],
    ),
    "cosine_similarity, eps in force": (
        lambda x, y: C.cosine_similarity(x, y, eps=2.0),
        lambda x, y: [oracle.similarity(a, b, 2.0) for a, b in zip(x, y, strict=True)],
    ),
    "cosine_distance": (
        lambda x, y: C.cosine_distance(x, y, dim=-1, eps=0.0, keepdim=True),
        lambda x, y: [p.distance for p in pairs(x, y)],
    ),
    "normalize": (
        lambda x, y: C.normalize(x, eps=0.0),
        lambda x, y: [t for a in x for t in oracle.normalize(a)],
    ),
    "pairwise_cosine_similarity": (
        C.pairwise_cosine_similarity,
        lambda x, y: [p.similarity for p in matrix(x, y)],
    ),
    "pairwise_cosine_distance": (
        lambda x, y: C.pairwise_cosine_distance(x),
        lambda x, y: [p.distance for p in matrix(x, x)],
    ),
    "cosine_distance_loss": (
        C.cosine_distance_loss,
        lambda x, y: reduced(p.distance for p in pairs(x, y)),
    ),
    "cosine_distance_loss, weights": (
        lambda x, y: C.cosine_distance_loss(x, y, weights=WEIGHTS, reduction="nonzero_mean"),
        lambda x, y: reduced((p.distance for p in pairs(x, y)), WEIGHTS.tolist(), "nonzero_mean"),
    ),
    "cosine_embedding_loss": (
        lambda x, y: C.cosine_embedding_loss(x, y, TARGET, margin=0.25, reduction="sum"),
        lambda x, y: reduced(
            (oracle.embedding_loss(a, b, t, 0.25) for a, b, t in zip(x, y, TARGET.tolist(), strict=True)),
            reduction="sum",
        ),
    ),
    "contrastive_loss": (C.contrastive_loss, lambda x, y: [contrastive_oracle.contrastive(x, y)[0]]),
    "nt_xent_loss": (lambda x, y: C.nt_xent_loss(x), lambda x, y: [contrastive_oracle.nt_xent(x)[0]]),
    "sigmoid_contrastive_loss": (
        C.sigmoid_contrastive_loss,
        lambda x, y: [contrastive_oracle.sigmoid_contrastive(x, y)[0]],
    ),
}


def every(functions):
    """Return a function of all results: one export is much quicker than one for each function."""
    return lambda x, y: tuple(function(x, y) for function, *_ in functions.values())


BFLOAT16 = 16  # the number of this element type in ONNX


def test_every_function_in_onnx(pair, dtype_name):
    """Check every function on six rows.

    The terms that cancel in a matrix product or a mean are of size 1, so the tolerance is also absolute.
    """
    x, y = (torch.tensor(t).to(getattr(torch, dtype_name)) for t in pair)
    wide = torch.promote_types(x.dtype, torch.float32)  # a dtype that NumPy supports
    model = Model(lambda x, y: [result.to(wide) for result in every(FUNCTIONS)(x, y)])
    program = torch.onnx.export(model, (x, y), dynamo=True, verbose=False)
    run = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    value = onnxruntime.OrtValue
    if dtype_name == "bfloat16":
        bits = [t.view(torch.uint16).numpy() for t in (x, y)]
        values = [value.ortvalue_from_numpy_with_onnx_type(t, BFLOAT16) for t in bits]
    else:
        values = [value.ortvalue_from_numpy(t.numpy()) for t in (x, y)]
    names = [i.name for i in run.get_inputs()]
    results = run.run_with_ort_values(None, dict(zip(names, values, strict=True)))
    within = 3 * torch.finfo(x.dtype).eps
    arrays = [t.double().numpy() for t in (x, y)]
    for (name, (_, truth)), got in zip(FUNCTIONS.items(), results, strict=True):
        true = np.array(truth(*arrays), np.float64)
        np.testing.assert_allclose(got.numpy().ravel(), true, rtol=within, atol=within, err_msg=name)


def both(x, y):
    return np.concatenate([x, y])


def sign(x):
    return x[:, 0] > 0


# The function, a function that returns the expected number, and batches smaller and larger than the
# example's.
LOSSES: dict[str, tuple[Callable, Callable, tuple[int, int]]] = {
    "contrastive_loss": (C.contrastive_loss, contrastive_oracle.contrastive, (3, 11)),
    "contrastive_loss, ignore": (
        lambda x, y: C.contrastive_loss(x, y, ignore=x @ y.T > 2),
        lambda x, y: contrastive_oracle.contrastive(x, y, ignore=x @ y.T > 2),
        (3, 11),
    ),
    "nt_xent_loss": (
        lambda x, y: C.nt_xent_loss(x),
        lambda x, y: contrastive_oracle.nt_xent(x),
        (4, 22),
    ),
    "nt_xent_loss, two towers": (
        lambda x, y: C.nt_xent_loss(torch.cat([x, y])),
        lambda x, y: contrastive_oracle.nt_xent(both(x, y)),
        (3, 11),
    ),
    "nt_xent_loss, labels": (
        lambda x, y: C.nt_xent_loss(x, sign(x)),
        lambda x, y: contrastive_oracle.nt_xent(x, sign(x)),
        (5, 11),
    ),
    "sigmoid_contrastive_loss": (
        C.sigmoid_contrastive_loss,
        contrastive_oracle.sigmoid_contrastive,
        (3, 11),
    ),
}


def dynamic(dim):
    return {"dynamic_shapes": ({0: getattr(torch.export.Dim, dim)},) * 2}


@cache
def losses_in_onnx(dim):
    return onnx(Model(every(LOSSES)), *torch.ones(2, N, WIDTH), **dynamic(dim))


def in_onnx(name, dim):
    return lambda x, y: losses_in_onnx(dim)(x, y)[list(LOSSES).index(name)]


def in_a_program(name, dim):
    model, some = Model(LOSSES[name][0]), tuple(torch.ones(2, N, WIDTH))
    run = torch.export.export(model, some, **dynamic(dim)).module()
    return lambda x, y: run(torch.tensor(x), torch.tensor(y)).numpy()


@pytest.mark.parametrize("export", [in_onnx, in_a_program])
@pytest.mark.parametrize("dim", ["AUTO", "DYNAMIC"])
@pytest.mark.parametrize("name", list(LOSSES))
def test_contrastive_losses_of_any_batch(name, dim, export, rng):
    """Check other batches: the graph must not contain the number of rows of the example."""
    _, truth, sizes = LOSSES[name]
    run = export(name, dim)
    batches = [rng.standard_normal((2, rows, WIDTH)).astype(np.float32) for rows in sizes]
    got, true = [run(*batch) for batch in batches], [truth(*batch)[0] for batch in batches]
    np.testing.assert_allclose(got, true, rtol=4e-7, atol=4e-7)


class Rows(torch.nn.Module):
    """A model that computes S, D and the unit vectors in a dtype. Its inputs and outputs are in float64."""

    def __init__(self, dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.eval()

    def forward(self, x, y):
        x, y = x.to(self.dtype), y.to(self.dtype)
        S, D = C.cosine_similarity(x, y, eps=0.0), C.cosine_distance(x, y, eps=0.0)
        return S.double(), D.double(), C.normalize(x, eps=0.0).double()


@cache
def graph(of: str, dtype_name: str) -> Callable:
    """Return the graph of `Rows` for any number of rows.

    It is exported from the module, or from the program that `torch.export` made of it.
    """
    model, some = Rows(getattr(torch, dtype_name)), torch.ones(2, 3, 17, dtype=torch.float64)
    free = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},) * 2}
    if of == "program":
        return onnx(torch.export.export(model, tuple(some), **free))
    return onnx(model, *some, **free)


@pytest.fixture
def rows(dtype_name):
    return graph("module", dtype_name)


def test_a_program_of_torch_goes_to_onnx(rng):
    """Check that the operators of an exported program become closed forms in ONNX."""
    x, y = rng.standard_normal((2, 7, 17))
    for a, b in zip(graph("program", "float32")(x, y), graph("module", "float32")(x, y), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_accuracy_of_the_closed_forms(rows, dtype_name, seed):
    batch, _ = inputs.together(inputs.hard(seed, 17, dtype_name))
    S, D, unit = rows(batch.x, batch.y)
    ones = [oracle.mp.mpf(1)] * len(batch)
    held.check(batch, S, batch.similarities, ones, bounds.closed_similarity(dtype_name, 17))
    true = [t for x in batch.x for t in oracle.normalize(x)]
    held.check(batch, unit, true, true, bounds.textbook(dtype_name, 17))
    apart = batch.rows([i for i, p in enumerate(batch.pairs) if p.angle > 1e-2])
    over_angle = [p.distance / p.angle for p in apart.pairs]
    D = D[[p.angle > 1e-2 for p in batch.pairs]]
    held.check(apart, D, apart.distances, over_angle, bounds.closed_distance(dtype_name, 17))


def test_the_rules_hold_in_onnx(rows, dtype_name):
    """Check zero, parallel, opposite, NaN and infinite rows, and the largest and the smallest numbers."""
    least, most = FORMATS[dtype_name].least, FORMATS[dtype_name].largest
    x = np.zeros((8, 17))
    x[1:, 0], x[1:, 1] = 1, 3
    y = 3 * x
    y[2] = -y[2]
    x[3, 2], x[4, 2] = np.nan, np.inf
    x[5], y[5] = most, most
    x[6, :2], y[6, :2] = (least, 0), (3 * least, 0)
    x[7] = 0
    S, D, unit = rows(x, y)
    np.testing.assert_array_equal(S, [0, 1, -1, np.nan, np.nan, 1, 1, 0])
    np.testing.assert_array_equal(D, [1, 0, 2, np.nan, np.nan, 0, 0, 1])
    assert np.isnan(unit[[3, 4]]).all()
    np.testing.assert_array_equal(unit[[0, 7]], np.zeros((2, 17)))


def child(program, *arguments):
    """Run a program in a process that imports only the modules named in the program."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


ONNX = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
np.save(sys.argv[3], session.run(None, dict(np.load(sys.argv[2])))[0])
assert not {"torch", "cosgrad"} & set(sys.modules)
"""


def test_onnx_needs_neither_pytorch_nor_cosgrad(pair, tmp_path):
    x, y = pair
    names = {"input_names": ["x", "y"]}
    program = torch.onnx.export(
        Model(C.cosine_distance), tuple(map(torch.tensor, pair)), dynamo=True, verbose=False, **names
    )
    program.save(tmp_path / "model.onnx")
    np.savez(tmp_path / "in.npz", x=x, y=y)
    done = child(ONNX, tmp_path / "model.onnx", tmp_path / "in.npz", tmp_path / "out.npy")
    assert done.returncode == 0, done.stderr
    true = np.array([oracle.distance(a, b, 1e-8) for a, b in zip(x, y, strict=True)], np.float64)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), true, rtol=1e-6, atol=1e-12)


TORCH = """
import sys
import numpy as np
import torch

try:
    torch.export.load(sys.argv[1])
except Exception as error:
    print(error)
else:
    raise SystemExit("loaded without the operators")

import cosgrad.torch

x, y = map(torch.tensor, np.load(sys.argv[2]).values())
np.save(sys.argv[3], torch.export.load(sys.argv[1]).module()(x, y).numpy())
"""


def test_a_program_of_torch_is_saved_and_loaded(pair, tmp_path):
    x, y = pair
    free = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},) * 2}
    program = torch.export.export(Model(C.cosine_distance), tuple(torch.ones(2, 3, WIDTH)), **free)
    torch.export.save(program, tmp_path / "model.pt2")
    np.savez(tmp_path / "in.npz", x=x, y=y)
    done = child(TORCH, tmp_path / "model.pt2", tmp_path / "in.npz", tmp_path / "out.npy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "import the custom op" in done.stderr
    expected = C.cosine_distance(*map(torch.tensor, pair)).numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


AOTI = """
import sys
import numpy as np
import torch

package, traced, given, out = sys.argv[1:]
x, y = map(torch.tensor, np.load(given).values())
for call in (lambda: torch._inductor.aoti_load_package(package)(x, y), lambda: torch.jit.load(traced)):
    try:
        call()
    except RuntimeError as error:
        print(error)
    else:
        raise SystemExit("ran without the operators")

import cosgrad.torch

model = torch._inductor.aoti_load_package(package)
assert torch.equal(torch.jit.load(traced)(x, y)[0], model(x, y)[0])
np.savez(out, *(t.numpy() for t in model(x, y)))
"""


def pair_and_loss(x, y):
    return C.cosine_distance(x, y), C.cosine_distance_loss(x, y)


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
# All of torch.jit is deprecated in Python 3.14 and newer.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # shapes are compared
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit.trace itself
def test_a_package_of_aotinductor_needs_the_import(pair, tmp_path):
    """Check that a package, a decomposed program and a trace keep the names of the operators."""
    model, example = Model(pair_and_loss), tuple(torch.ones(2, 3, WIDTH))
    free = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},) * 2}
    program = torch.export.export(model, example, **free).run_decompositions()
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    torch.jit.save(torch.jit.trace(model, example), tmp_path / "model.pt")
    np.savez(tmp_path / "in.npz", *pair)
    done = child(AOTI, package, tmp_path / "model.pt", tmp_path / "in.npz", tmp_path / "out.npz")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Could not find schema for cosgrad::distance" in done.stdout
    assert "Unknown builtin op: cosgrad::distance" in done.stdout
    expected = pair_and_loss(*map(torch.tensor, pair))
    with np.load(tmp_path / "out.npz") as got:
        for a, b, c in zip(got.values(), expected, program.module()(*map(torch.tensor, pair)), strict=True):
            np.testing.assert_array_equal(a, b.numpy())
            assert torch.equal(b, c)


JAX = """
import sys
from pathlib import Path
import jax
import numpy as np
import cosgrad.jax

x, y = np.load(sys.argv[2]).values()
loss = jax.export.deserialize(bytearray(Path(sys.argv[1]).read_bytes())).call
np.savez(sys.argv[3], loss(x, y), *jax.grad(loss, (0, 1))(x, y))
"""


@pytest.mark.parametrize("platforms", [("cpu",), ("cpu", "cuda", "tpu")])
def test_a_program_of_jax_is_serialized(pair, platforms, tmp_path):
    jax = pytest.importorskip("jax")
    import cosgrad.jax as J

    loss = jax.jit(J.cosine_distance_loss)
    kernels = ("forward", "backward", "jvp", "normalize")
    checks = [jax.export.DisabledSafetyCheck.custom_call(f"cosgrad_{name}") for name in kernels]
    rows = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("rows"), WIDTH), np.float32)
    exported = jax.export.export(loss, platforms=platforms, disabled_checks=checks)(rows, rows)
    Path(tmp_path / "model").write_bytes(exported.serialize(vjp_order=1))
    np.savez(tmp_path / "in.npz", *pair)
    done = child(JAX, tmp_path / "model", tmp_path / "in.npz", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as got:
        arrays = list(got.values())
    for a, b in zip(arrays, (loss(*pair), *jax.grad(loss, (0, 1))(*pair)), strict=True):
        np.testing.assert_array_equal(a, b)

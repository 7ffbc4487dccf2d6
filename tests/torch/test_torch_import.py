"""Tests of imports: no result depends on the time or place of the import, or on the default device."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cosgrad
from cosgrad.torch._rule import plain

SOURCES = Path(cosgrad.__file__).parent
# Functions of `torch` that make a tensor on the default device if no device is given.
FACTORIES = frozenset(
    {
        "arange",
        "as_tensor",
        "asarray",
        "empty",
        "empty_permuted",
        "empty_strided",
        "eye",
        "full",
        "linspace",
        "logspace",
        "normal",
        "ones",
        "rand",
        "randint",
        "randn",
        "randperm",
        "scalar_tensor",
        "tensor",
        "tril_indices",
        "triu_indices",
        "zeros",
    }
)

# Ways in which a process imports the module. Each is a fork of a process that has imported only PyTorch.
SITUATIONS = {
    "default device": "torch.set_default_device('meta'); import cosgrad.torch",
    "device context": "with torch.device('meta'): import cosgrad.torch",
    "default dtype": "torch.set_default_dtype(torch.float64); import cosgrad.torch",
    "fake tensors": "with FakeTensorMode(allow_non_fake_inputs=True): similarity(x, x)",
    "another mode": "with LoggingTensorMode(): similarity(x, x)",
    "inference mode": "with torch.inference_mode(): similarity(x, x)",
    "autocast": "with torch.autocast('cpu', torch.bfloat16), torch.no_grad(): similarity(x, x)",
    "deterministic": "torch.use_deterministic_algorithms(True); similarity(x, x)",
    "grad": "torch.func.grad(lambda a: similarity(a, x).sum())(x)",
    "jvp": "torch.func.jvp(lambda a: similarity(a, x), (x,), (x,))",
    "vmap": "torch.func.vmap(similarity)(x[None], x[None])",
    "functionalize": "torch.func.functionalize(similarity)(x, x)",
    "make_fx": "make_fx(similarity)(x, x)",
    "jit": "torch.jit.trace(similarity, (x, x))",
    "export": "torch.export.export(M(), (x,))",
    "compile": "torch.compile(similarity, backend='eager')(x, x)",
    "thread": "t = threading.Thread(target=similarity, args=(x, x)); t.start(); t.join()",
}
PROGRAM = """
import os, sys, threading, traceback
import torch, torch._dynamo, torch.export, torch.fx.experimental.symbolic_shapes
import cosgrad, cosgrad._native
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.logging_tensor import LoggingTensorMode

x = torch.arange(1.0, 33.0).reshape(4, 8)

def similarity(a, b):
    return cosgrad.cosine_similarity(a, b)

class M(torch.nn.Module):
    def forward(self, a):
        return similarity(a, a)

def check():
    import cosgrad.torch as C
    from cosgrad.torch._rule import plain

    assert plain(x), "a CPU tensor is not plain"
    meta = x.to("meta")
    assert not plain(meta) and C.cosine_similarity(meta, meta).is_meta
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
    assert not plain(fake) and type(C.cosine_similarity(fake, fake)).__name__ == "FakeTensor"
    a = x.clone().requires_grad_()
    for f in (C.cosine_similarity, C.cosine_distance_loss, C.pairwise_cosine_distance, C.contrastive_loss):
        for device in ("cpu", "meta"):
            with torch.device(device):
                out = f(a, x)
            assert out.device.type == "cpu" and out.dtype is torch.float32, (f, out.device, out.dtype)
            out.sum().backward()
            assert a.grad.device.type == "cpu"

with FakeTensorMode() as mode:  # what PyTorch loads for this, it loads once
    mode.from_tensor(x) + 1
for name, code in SITUATIONS.items():
    child = os.fork()
    if not child:
        try:
            exec(code)
            check()
        except BaseException:
            print(name, traceback.format_exc())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print("failed:", name, status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a situation is a fork of one process")
def test_no_situation_of_the_first_import_is_remembered():
    program = f"SITUATIONS = {SITUATIONS!r}\n" + PROGRAM
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""


def test_plain_tensors_are_those_of_the_constants():
    with torch.inference_mode():
        inference = torch.ones(2)
    parameter = torch.nn.Parameter(torch.ones(2))
    for t in (torch.ones(2), torch.ones(2, 2).t(), inference, parameter, parameter * 2):
        assert plain(t)
    for t in (
        torch.ones(2, device="meta"),
        torch._neg_view(torch.ones(2)),
        torch._efficientzerotensor(2),
        torch.ones(2).to_sparse(),
    ):
        assert not plain(t)


def _factories(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id == "torch" and name in FACTORIES:
            yield node


@pytest.mark.parametrize("part", ["torch", "bench", "integrations", "verify", "score"])
def test_every_factory_call_names_its_device(part):
    silent = []
    for path in (SOURCES / part).rglob("*.py"):
        tree = ast.parse(path.read_text())
        # Parameters follow the default device, like those of PyTorch's modules.
        parameters = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Parameter"
            for inner in ast.walk(node)
        }
        silent += [
            f"{path.name}:{call.lineno}"
            for call in _factories(tree)
            if id(call) not in parameters and "device" not in {k.arg for k in call.keywords}
        ]
    assert not silent


def test_no_call_imports_sympy():
    program = """
import sys, torch
if "sympy" in sys.modules:
    sys.exit()  # this PyTorch imports it itself
import cosgrad.torch as C
x, y, row = torch.ones(4, 8, requires_grad=True), torch.ones(4, 8) + torch.eye(4, 8), torch.ones(1, 8)
for f in (
    lambda: C.cosine_similarity(x, row), lambda: C.cosine_distance(x, row[0], dim=-1),
    lambda: C.normalize(x, dim=None), lambda: C.cosine_distance_loss(x, row),
    lambda: C.cosine_distance_loss(x, row, weights=torch.ones(1), assume_normalized=True),
    lambda: C.cosine_embedding_loss(x, row, torch.ones(1)),
    lambda: C.pairwise_cosine_similarity(x[None], row), lambda: C.pairwise_cosine_distance(x),
    lambda: C.contrastive_loss(x, y), lambda: C.nt_xent_loss(x), lambda: C.sigmoid_contrastive_loss(x, y),
):
    f().sum().backward()
    assert "sympy" not in sys.modules, f.__code__.co_firstlineno
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)

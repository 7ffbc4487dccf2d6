"""The registry of workloads, with the workloads of NumPy and PyTorch, their competitors and target ratios."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import cosgrad.numpy
import cosgrad.torch
from contest import Contest, Rival, Workload
from cosgrad.bench import accuracy
from cosgrad.bench.timing import Work, fastest

REGISTRY: dict[str, Workload] = {}
"""Every workload by name, in the order of the table."""

SEED = 20241004
JUDGED = 200  # rows of a result, at most, because their true values are computed in Python


def workload(name: str, title: str) -> Callable[[Callable[[], Contest]], Callable[[], Contest]]:
    """Return a decorator that enters a function into the registry. The function prepares the workload."""

    def enter(prepare: Callable[[], Contest]) -> Callable[[], Contest]:
        REGISTRY[name] = Workload(name, title, prepare)
        return prepare

    return enter


def tensors(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> tuple[Tensor, Tensor]:
    """Return two seeded normal tensors."""
    generator = torch.Generator().manual_seed(SEED)
    x, y = (torch.randn(*shape, dtype=dtype, generator=generator) for _ in range(2))
    return x.requires_grad_(grad), y.requires_grad_(grad)


def in_halves(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Work:
    """Return work that calls `function` on each half of the rows, in two threads.

    This is for competitors that use one thread.
    """
    pool = ThreadPoolExecutor(2)
    middle = len(x) // 2
    parts = [(x[:middle], y[:middle]), (x[middle:], y[middle:])]
    return lambda: [done.result() for done in [pool.submit(function, *part) for part in parts]]


# Forward against memory -------------------------------------------------------------------------------------


def bare_dot(x: Tensor, y: Tensor) -> dict[str, Rival]:
    """Return the fastest installed dot product of the same bytes. It reads them and does nothing else."""
    flat_x, flat_y = x.flatten(), y.flatten()
    array_x, array_y = flat_x.numpy(), flat_y.numpy()
    name, do = fastest(
        {
            "torch.dot": lambda: torch.dot(flat_x, flat_y),
            "torch.dot, two threads": in_halves(torch.dot, flat_x, flat_y),
            "np.dot": lambda: np.dot(array_x, array_y),
            "np.dot, two threads": in_halves(np.dot, array_x, array_y),
        }
    )
    return {"bare dot": Rival(do, 0.9, comparable=False, how=name)}


def judged_by(x: Tensor, y: Tensor, *, distance: bool = False) -> Callable[[Any], accuracy.Accuracy]:
    """Return a function that compares results, S or D of these vectors, with the definition."""
    a, b = (t.detach()[:JUDGED].numpy() for t in (x, y))
    true = accuracy.truth(a, b, distance=distance)

    def judge(result: Any) -> accuracy.Accuracy:
        parts = result if isinstance(result, list) else [result]
        return accuracy.judge(np.concatenate([np.asarray(part) for part in parts]), true)

    return judge


@workload("forward-numpy", "similarity, NumPy, 32768x768 float32")
def forward_numpy() -> Contest:
    x, y = tensors(32768, 768)
    array_x, array_y = x.numpy(), y.numpy()
    ours = functools.partial(cosgrad.numpy.cosine_similarity, array_x, array_y)
    return Contest(ours, bare_dot(x, y), judge=judged_by(x, y))


@workload("forward-torch", "similarity, PyTorch, 32768x768 float32")
def forward_torch() -> Contest:
    x, y = tensors(32768, 768)
    rivals = bare_dot(x, y) | {"PyTorch eager": Rival(lambda: F.cosine_similarity(x, y, dim=1))}
    return Contest(lambda: cosgrad.torch.cosine_similarity(x, y, dim=1), rivals, judge=judged_by(x, y))


def simd_distances(x: Tensor, y: Tensor) -> tuple[dict[str, Rival], dict[str, str]]:
    """Return NumKong and SimSIMD, and the reasons for missing ones.

    Each runs in one thread, or in two threads with half the rows each if this is faster.
    """
    array_x, array_y = x.numpy(), y.numpy()
    rivals, missing = {}, {}
    for package, function in (("numkong", "angular"), ("simsimd", "cosine")):
        try:
            distance = getattr(importlib.import_module(package), function)
        except ImportError as absent:
            missing[package] = str(absent)
            continue
        ways: dict[str, Work] = {
            "one thread": functools.partial(distance, array_x, array_y),
            "two threads": in_halves(distance, array_x, array_y),
        }
        how, do = fastest(ways)
        rivals[package] = Rival(do, 1.0, how=how)
    return rivals, missing


@workload("distance-numpy", "distance, NumPy, 32768x768 float32")
def distance_numpy() -> Contest:
    x, y = tensors(32768, 768)
    ours = functools.partial(cosgrad.numpy.cosine_distance, x.numpy(), y.numpy())
    return Contest(ours, *simd_distances(x, y), judged_by(x, y, distance=True))


@workload("distance-parallel", "distance of nearly parallel vectors (1e-4 rad), PyTorch, 32768x768 float32")
def distance_parallel() -> Contest:
    x, noise = tensors(32768, 768)
    y = x + 1e-4 * noise
    simd, missing = simd_distances(x, y)
    rivals = {"PyTorch eager": Rival(lambda: 1 - F.cosine_similarity(x, y, dim=1))} | {
        name: Rival(rival.do, how=rival.how) for name, rival in simd.items()
    }
    ours = functools.partial(cosgrad.torch.cosine_distance, x, y, dim=1)
    return Contest(ours, rivals, missing, judged_by(x, y, distance=True))


# Forward and backward of a loss -----------------------------------------------------------------------------


def mean_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean distance, computed in plain PyTorch."""
    return (1 - F.cosine_similarity(x, y, dim=1)).mean()


def loss_and_gradients(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Work:
    """Return work that computes the loss and both gradients."""
    return lambda: torch.autograd.grad(loss(x, y), (x, y))


def mean_loss(rows: int, dtype: torch.dtype, eager: float, compiled: float) -> Contest:
    """Return the contest of the mean distance loss, forward and backward, for rows of 768 components."""
    torch._dynamo.reset()
    x, y = tensors(rows, 768, dtype=dtype, grad=True)
    compiled_loss = torch.compile(mean_distance, fullgraph=True, dynamic=False)
    return Contest(
        loss_and_gradients(functools.partial(cosgrad.torch.cosine_distance_loss, dim=1), x, y),
        {
            "PyTorch eager": Rival(loss_and_gradients(mean_distance, x, y), eager),
            "torch.compile": Rival(loss_and_gradients(compiled_loss, x, y), compiled),
        },
    )


for dtype, eager, compiled in (
    (torch.float32, 20.0, 2.5),
    (torch.float64, 15.0, 2.0),
    (torch.bfloat16, 8.0, 2.0),
):
    for rows in (16384, 32768):
        kind = str(dtype).removeprefix("torch.")
        workload(f"loss-{kind}-{rows}", f"mean distance loss, forward+backward, {rows}x768 {kind}")(
            functools.partial(mean_loss, rows, dtype, eager, compiled)
        )


# Calls so small that the overhead of the call dominates -----------------------------------------------------


def small_forward(rows: int, length: int) -> Contest:
    """Return the contest of the similarity without an autograd graph."""
    x, y = tensors(rows, length)
    return Contest(
        lambda: cosgrad.torch.cosine_similarity(x, y, dim=1),
        {"PyTorch eager": Rival(lambda: F.cosine_similarity(x, y, dim=1), 1.0)},
        judge=judged_by(x, y),
    )


def similarity_and_gradients(
    similarity: Callable[..., Tensor], x: Tensor, y: Tensor, g: Tensor, dim: int
) -> Work:
    """Return work that computes the similarity, then both gradients for the cotangent g."""
    return lambda: torch.autograd.grad(similarity(x, y, dim=dim), (x, y), g)


def similarity_contest(shape: tuple[int, ...], dim: int, target: float) -> Contest:
    """Return the contest of the similarity, forward and backward, against eager PyTorch."""
    x, y = tensors(*shape, grad=True)
    g, _ = tensors(*(n for axis, n in enumerate(shape) if axis != dim))
    return Contest(
        similarity_and_gradients(cosgrad.torch.cosine_similarity, x, y, g, dim),
        {"PyTorch eager": Rival(similarity_and_gradients(F.cosine_similarity, x, y, g, dim), target)},
    )


for rows, length in ((1, 16), (32, 768)):
    size = f"{rows}x{length}"
    workload(f"small-forward-{size}", f"similarity, {size} float32")(
        functools.partial(small_forward, rows, length)
    )
    workload(f"small-backward-{size}", f"similarity, forward+backward, {size} float32")(
        functools.partial(similarity_contest, (rows, length), 1, 2.0)
    )


# A reduction over a strided axis ----------------------------------------------------------------------------

IMAGES = (16, 256, 56, 56)


@workload("strided-forward", "similarity over channels, 16x256x56x56 float32, dim=1")
def strided_forward() -> Contest:
    x, y = tensors(*IMAGES)
    return Contest(
        lambda: cosgrad.torch.cosine_similarity(x, y, dim=1),
        {"PyTorch eager": Rival(lambda: F.cosine_similarity(x, y, dim=1), 10.0)},
    )


workload("strided-backward", "the same, forward+backward")(
    functools.partial(similarity_contest, IMAGES, 1, 10.0)
)

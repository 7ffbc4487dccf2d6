"""Libraries that take PyTorch tensors. Each uses its own eps. cosgrad uses eps = 0, the exact cosine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cosgrad.bench.rivals.base import Floats, Function, Functions, Library, minus
from cosgrad.bench.timing import Work


def _array(array: Floats) -> Any:
    import torch

    return torch.from_numpy(array)


def _with_gradients(loss: Function) -> Callable[[Any, Any], Work]:
    def work(x: Any, y: Any) -> Work:
        import torch

        leaves = x.requires_grad_(), y.requires_grad_()
        return lambda: (value := loss(*leaves), torch.autograd.grad(value, leaves))

    return work


def _mean(distance: Function) -> Function:
    return lambda x, y: distance(x, y).mean()


def _functions(similarity: Function) -> Functions:
    """Return all functions of a library, derived from its similarity of rows."""
    distance = minus(similarity)
    return Functions(similarity, distance, _with_gradients(_mean(distance)), _array)


def _cosgrad() -> Functions:
    import cosgrad.torch as frontend

    return Functions(
        partial(frontend.cosine_similarity, eps=0.0),
        partial(frontend.cosine_distance, eps=0.0),
        _with_gradients(frontend.cosine_distance_loss),
        _array,
    )


def _eager() -> Functions:
    import torch.nn.functional as F

    return _functions(F.cosine_similarity)


def _compiled() -> Functions:
    import torch
    import torch.nn.functional as F

    # One program for all sizes, because compiling one for each would take most of the benchmark's time.
    compiled: Any = torch.compile(dynamic=True, fullgraph=True)
    forward = compiled(lambda x, y: F.cosine_similarity(x, y))
    loss = compiled(_mean(minus(F.cosine_similarity)))
    return Functions(forward, minus(forward), _with_gradients(loss), _array)


def _embedding_loss() -> Functions:
    import torch
    import torch.nn.functional as F

    one = torch.ones((), device="cpu")

    def distance(x: Any, y: Any) -> Any:
        return F.cosine_embedding_loss(x, y, one.expand(len(x)), reduction="none")

    def loss(x: Any, y: Any) -> Any:
        return F.cosine_embedding_loss(x, y, one.expand(len(x)))

    return Functions(minus(distance), distance, _with_gradients(loss), _array, native="distance")


def _torchmetrics() -> Functions:
    from torchmetrics.functional import cosine_similarity

    return _functions(lambda x, y: cosine_similarity(x, y, reduction="none"))


def _sentence_transformers() -> Functions:
    from sentence_transformers.util import pairwise_cos_sim

    return _functions(pairwise_cos_sim)


LIBRARIES = (
    Library("cosgrad.torch", "torch", "cosine_similarity", _cosgrad, ("cosgrad",), ours=True),
    Library("torch", "torch", "F.cosine_similarity", _eager, ("torch",)),
    Library(
        "torch.compile",
        "torch",
        "F.cosine_similarity under torch.compile(dynamic=True)",
        _compiled,
        ("torch",),
    ),
    Library("torch-embedding-loss", "torch", "F.cosine_embedding_loss", _embedding_loss, ("torch",)),
    Library("torchmetrics", "torch", "functional.cosine_similarity", _torchmetrics, ("torchmetrics",)),
    Library(
        "sentence-transformers",
        "torch",
        "util.pairwise_cos_sim",
        _sentence_transformers,
        ("sentence-transformers",),
    ),
)

"""The operators on DTensors: the placements of their arguments and results.

    similarity, distance, similarity_and_distance, normalize    rows stay where they are: Shard on batch axes
    gradient, normalize_gradient                                the same; Partial where an operand broadcasts
    contrastive                                                 every rank gathers all rows

Each rank computes its own rows with the kernel, so the bits of a row are the same as in one process. A tensor
that is sharded along its vectors raises an error, because the rounded sums of the parts of a vector do not
give its exact sum. If the operands are sharded differently, they are redistributed like the operand with the
most elements.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

import torch
from torch import Tensor

from cosgrad.closed import BOTH, DISTANCE, SIMILARITY
from cosgrad.torch._arguments import ShapeError, refuse_plain
from cosgrad.torch._native import batch_shape, broadcast_shapes
from cosgrad.torch._operators import LIBRARY
from cosgrad.torch._rule import is_distributed

MODULE = "torch.distributed.tensor"
NAMES = ("x", "y", "scale", "bias", "labels_x", "labels_y", "ignore")  # arguments of the contrastive operator


class ShardError(ShapeError, NotImplementedError):
    """A placement that is not supported."""


class _Finder(MetaPathFinder):
    """Registers the rules when DTensor is first imported, because importing DTensor ourselves is slow."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        """Return the usual spec, with a loader that registers the rules after it has run the module."""
        if fullname != MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: Any) -> None:
                run(module)
                sys.meta_path.remove(self)  # only now: a look-up need not lead to an import
                _register(module.DTensor)

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]  # of this loader alone
        return spec


def install() -> None:
    """Register the rules, now or when DTensor is imported."""
    if MODULE in sys.modules:
        _register(sys.modules[MODULE].DTensor)
    else:
        sys.meta_path.insert(0, _Finder())


def _register(DTensor: type) -> None:
    rules: dict[str, Callable[..., Any]] = {
        SIMILARITY: _cosine,
        DISTANCE: _cosine,
        BOTH: _cosine,
        "gradient": _gradient,
        "normalize": _normalize,
        "normalize_gradient": _normalize,
        "contrastive": _contrastive,
    }
    for name, rule in rules.items():

        def dispatch(
            cls: Any, func: Any, types: Any, args: Any, kwargs: Any, rule: Callable[..., Any] = rule
        ) -> Any:
            with torch.no_grad():  # autograd has already recorded the operator
                return rule(func, *args, **(kwargs or {}))

        torch.library.register_torch_dispatch(f"cosgrad::{name}", DTensor, dispatch, lib=LIBRARY)


def replicated(t: Tensor, like: Any) -> Any:
    """Return t as a replicated DTensor on the mesh of `like`. The gradient of t stays a plain tensor."""
    if not is_distributed(like) or is_distributed(t):
        return t
    mesh = like.device_mesh
    return _module().DTensor.from_local(t, mesh, _everywhere(mesh), run_check=False)


def gathered(function: Callable[..., Tensor], *tensors: Any) -> Any:
    """Return a function of whole tensors. Every rank computes it, and it has derivatives of every order."""
    mesh = _mesh(**dict(zip(NAMES, tensors, strict=True)))
    whole = [_local(t, _everywhere(mesh)) if is_distributed(t) else t for t in tensors]
    return _module().DTensor.from_local(function(*whole), mesh, _everywhere(mesh), run_check=False)


def _cosine(func: Any, x: Any, y: Any, axis: int, eps: float, skip_zero: bool = False) -> Any:
    mesh = _mesh(x=x, y=y)
    shape = broadcast_shapes(x.shape, y.shape)
    dims = _sharded(mesh, shape, axis, (x, y))
    outs = _run(mesh, len(func._schema.returns), func, _locals(dims, shape, x, y), axis, eps, skip_zero)
    like = torch.empty(batch_shape(x, y, axis), device="meta")
    results = tuple(_global(out, mesh, _batch_placements(dims, axis), like) for out in outs)
    return results if len(results) > 1 else results[0]


def _gradient(
    func: Any,
    x: Any,
    y: Any,
    grad: Any,
    axis: int,
    eps: float,
    what: str,
    skip_zero: bool = False,
    need_x: bool = True,
    need_y: bool = True,
) -> list[Any]:
    mesh = _mesh(x=x, y=y, grad=grad)
    shape = broadcast_shapes(x.shape, y.shape)
    dims = _sharded(mesh, shape, axis, (x, y))
    local = (*_locals(dims, shape, x, y), _local(grad, _batch_placements(dims, axis)))
    outs = _run(mesh, need_x + need_y, func, local, axis, eps, what, skip_zero, need_x, need_y)
    needed = [t for t, need in ((x, need_x), (y, need_y)) if need]
    return [
        _global(out, mesh, _placements(dims, shape, t.shape, summed=True), _empty_like(t))
        for out, t in zip(outs, needed, strict=True)
    ]


def _normalize(func: Any, *args: Any) -> Any:
    """Return the unit vectors, or the product with the Jacobian if a cotangent is given."""
    *tensors, axis, eps = args
    x = tensors[0]
    mesh = _mesh(**dict(zip(("input", "grad"), tensors, strict=False)))
    dims = _sharded(mesh, x.shape, axis, (x,))
    (out,) = _run(mesh, 1, func, _locals(dims, x.shape, *tensors), axis, eps)
    return _global(out, mesh, _placements(dims, x.shape, x.shape), _empty_like(x))


def _contrastive(func: Any, *args: Any) -> tuple[Any, ...]:
    """Return the loss of all rows, and the gradients. Each rank keeps its own rows of the gradients."""
    tensors, flags = args[: len(NAMES)], args[len(NAMES) :]
    mesh = _mesh(**dict(zip(NAMES, tensors, strict=True)))
    rows = [t for t in tensors[:2] if t is not None]
    for t in rows:
        _sharded(mesh, t.shape, 1, (t,))
    whole = [_local(t, _everywhere(mesh)) if is_distributed(t) else t for t in tensors]
    outs = _run(mesh, len(func._schema.returns), func, whole, *flags)
    results = []
    for i, out in enumerate(outs):
        of = tensors[i - 1] if i and len(flags) > i and flags[i] else None  # flags: symmetric, then needs
        shape = () if i == 0 else (0,) if of is None else of.shape
        result = _global(out, mesh, _everywhere(mesh), torch.empty(shape, device="meta"))
        if of is not None and of.dim():
            result = result.redistribute(
                placements=[p if p.is_shard() else _place(None) for p in of.placements]
            )
        results.append(result)
    return tuple(results)


def _module() -> Any:
    return sys.modules[MODULE]


def _mesh(**tensors: Any) -> Any:
    """Return the mesh of all tensors, or raise an error. A number may be a plain tensor of rank 0."""
    meshes = {name: t.device_mesh for name, t in tensors.items() if is_distributed(t)}
    first, mesh = next(iter(meshes.items()))
    for name, t in tensors.items():
        if isinstance(t, Tensor) and t.dim() and name not in meshes:
            raise refuse_plain(name, t, first)
    for name, other in meshes.items():
        if other != mesh:
            raise ShapeError(f"{first} is on {mesh} and {name} is on {other}: they must be on one mesh")
    return mesh


def _sharded(mesh: Any, shape: Sequence[int], axis: int, operands: Sequence[Any]) -> list[int | None]:
    """Return the batch axis that each dimension of the mesh shards, or None if it shards no axis."""
    for t in operands:
        if any(_dim(p) == axis for p in t.placements):
            raise ShardError(
                f"a DTensor of shape {tuple(t.shape)} and placements {t.placements} is sharded along its "
                f"vectors, axis {axis}: call redistribute to shard another axis or none"
            )
    dims = []
    largest_first = sorted(operands, key=lambda t: -t.numel())  # redistributing the largest costs most
    for m in range(mesh.ndim):
        found = ((_dim(t.placements[m]), t.shape) for t in largest_first)
        dims.append(next((d for d, own in found if d is not None and own[d] == shape[d]), None))
    return dims


def _dim(placement: Any) -> int | None:
    """Return the axis that a placement shards, or None for other placements."""
    dim: int | None = getattr(placement, "dim", None)
    return dim


def _place(dim: int | None) -> Any:
    return _module().Replicate() if dim is None else _module().Shard(dim)


def _everywhere(mesh: Any) -> list[Any]:
    return [_place(None)] * mesh.ndim


def _batch_placements(dims: Sequence[int | None], axis: int) -> list[Any]:
    """Return the placements of a result that has no vector axis."""
    return [_place(d if d is None or d < axis else d - 1) for d in dims]


def _placements(
    dims: Sequence[int | None], shape: Sequence[int], own: Sequence[int], *, summed: bool = False
) -> list[Any]:
    """Return the placements of an operand of shape `own`. A broadcast axis is replicated or a partial sum."""
    broadcast = _module().Partial("sum") if summed else _place(None)
    return [_place(d) if d is None or own[d] == shape[d] else broadcast for d in dims]


def _locals(dims: Sequence[int | None], shape: Sequence[int], *tensors: Any) -> tuple[Tensor, ...]:
    return tuple(_local(t, _placements(dims, shape, t.shape)) for t in tensors)


def _local(t: Any, placements: Sequence[Any]) -> Tensor:
    local: Tensor = t.redistribute(placements=placements).to_local()
    return local


def _run(mesh: Any, count: int, func: Any, tensors: Sequence[Tensor | None], *rest: Any) -> list[Tensor]:
    """Return the `count` results of the operator on this rank. Outside the mesh they are empty."""
    if mesh.get_coordinate() is None:
        like = next(t for t in tensors if t is not None)
        return [like.new_empty(0) for _ in range(count)]
    out = func(*tensors, *rest)
    return [out] if isinstance(out, Tensor) else list(out)


def _global(local: Tensor, mesh: Any, placements: Sequence[Any], like: Tensor) -> Any:
    """Return the local tensors as a DTensor with the shape and strides of `like`."""
    if not like.dim() and not local.numel():
        local = local.new_zeros(())  # outside the mesh, from_local reads the shape () from the local tensor
    return _module().DTensor.from_local(
        local, mesh, placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def _empty_like(t: Any) -> Tensor:
    """Return a tensor on the meta device with the strides that the kernel gives to a result like t."""
    return torch.empty_like(torch.empty_strided(t.shape, t.stride(), device="meta"))

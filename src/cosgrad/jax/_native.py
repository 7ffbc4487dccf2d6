"""Calls of the native core as foreign functions of XLA on the CPU, partitioned over devices by rows."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.custom_partitioning import ArrayMapping, SdyShardingRule, custom_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cosgrad import _native
from cosgrad.jax._ops import wide
from cosgrad.spec import Shape


def _register() -> None:
    """Register the foreign functions with XLA, or raise an error if they need a newer interface.

    Without this check, JAX would fail to start.
    """
    compiled, header = _native.xla_interface, Path(jax.ffi.include_dir(), "xla/ffi/api/c_api.h")
    version = re.findall(r"define XLA_FFI_API_M(?:AJOR|INOR) (\d+)", header.read_text())
    installed = tuple(map(int, version))
    if installed < compiled:
        raise ImportError(
            f"cosgrad.jax was compiled for version {'.'.join(map(str, compiled))} of XLA's interface, "
            f"and JAX {jax.__version__} has {'.'.join(version)}: upgrade JAX, or install cosgrad from its "
            f"sources with PIP_CONSTRAINT naming a file that says jaxlib=={version_of('jaxlib')}"
        )
    for name, handler in _native.xla_handlers.items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")


_register()


def call(
    target: str,
    frame: Shape,
    axis: int,
    eps: float,
    operands: Sequence[Any],
    results: list[Shape],
    **flags: bool,
) -> list[jax.Array]:
    """Call a foreign function. Arrays whose batch is sharded stay sharded.

    Args:
        target: The name of the function.
        frame: The shape to which the vectors broadcast.
        axis: The axis of the vectors in the frame.
        eps: The lower bound of the norms.
        operands: Arrays of the frame's rank, or without the axis. Each length is that of the frame, or 1.
        results: The shapes of the results, with the same rule. A result with length 1 along an axis of length
            n in the frame is a sum over n rows.
        **flags: Further attributes of the function.
    """
    compute = partial(_compute, target, axis, eps, operands[0].dtype, flags)
    shards = _Shards(frame, axis, tuple(o.shape for o in operands), tuple(results), compute)
    function = custom_partitioning(partial(compute, results))
    function.def_partition(shards.partition, shards.infer, sharding_rule=shards.rule())
    out: list[jax.Array] = function(*operands)
    return out


def _compute(
    target: str,
    axis: int,
    eps: float,
    dtype: Any,
    flags: dict[str, bool],
    results: list[Shape],
    *operands: jax.Array,
) -> list[jax.Array]:
    kinds = [jax.ShapeDtypeStruct(shape, dtype) for shape in results]
    out: Any = jax.ffi.ffi_call(target, kinds)(*operands, axis=np.int64(axis), eps=np.float64(eps), **flags)
    return list(out)


@dataclass(frozen=True)
class _Shards:
    """The partitioning of a call over devices: along the batch axes. Every device has whole vectors."""

    frame: Shape
    axis: int
    operands: tuple[Shape, ...]
    results: tuple[Shape, ...]
    compute: Any

    def axes(self, shape: Shape) -> list[int]:
        """Return the axes of the frame that an array has."""
        return [i for i in range(len(self.frame)) if i != self.axis or len(shape) == len(self.frame)]

    def rule(self) -> SdyShardingRule:
        """Return the rule for the partitioner: shared axes are sharded together, the vectors' axis never."""
        alone = 0

        def mapping(shape: Shape) -> Any:
            nonlocal alone
            factors = []
            for length, i in zip(shape, self.axes(shape), strict=True):
                alone += length != self.frame[i]
                factors.append(f"axis{i}" if length == self.frame[i] else f"alone{alone}")
            return ArrayMapping(*factors)

        operands, results = (tuple(map(mapping, shapes)) for shapes in (self.operands, self.results))
        row = f"axis{self.axis}"
        return SdyShardingRule(operands, results, need_replication_factors=(row,))

    def partition(self, mesh: Mesh, operands: Any, results: Any) -> Any:
        """Return the computation of each device and the shardings of the results and operands."""
        cut = self.cut(mesh, [*operands, *jax.tree.leaves(results)])
        frame = tuple(n // _ways(mesh, names) for n, names in zip(self.frame, cut, strict=True))

        def local(shape: Shape) -> Shape:
            return tuple(
                frame[i] if length == self.frame[i] else length
                for length, i in zip(shape, self.axes(shape), strict=True)
            )

        def compute(*shards: jax.Array) -> list[jax.Array]:
            out = self.compute([local(shape) for shape in self.results], *shards)
            return [self.summed(t, shape, cut) for t, shape in zip(out, self.results, strict=True)]

        results, operands = (self.lie(mesh, cut, shapes) for shapes in (self.results, self.operands))
        return mesh, compute, results, tuple(operands)

    def infer(self, mesh: Mesh, operands: Any, results: Any) -> list[NamedSharding]:  # noqa: ARG002 (JAX's)
        """Return the shardings of the results. The partitioner before Shardy calls this instead of `rule`."""
        return self.lie(mesh, self.cut(mesh, operands), self.results)

    def lie(self, mesh: Mesh, cut: list[Any], shapes: tuple[Shape, ...]) -> list[NamedSharding]:
        """Return the shardings of arrays of these shapes."""

        def names(shape: Shape) -> Any:
            whole = zip(shape, self.axes(shape), strict=True)
            return (cut[i] if n == self.frame[i] else None for n, i in whole)

        return [NamedSharding(mesh, PartitionSpec(*names(shape))) for shape in shapes]

    def cut(self, mesh: Mesh, arrays: list[Any]) -> list[Any]:
        """Return for every axis of the frame the names of the mesh axes over which it is sharded, or None."""
        cut: list[Any] = [None] * len(self.frame)
        used: set[Any] = set()
        for array in arrays:
            unknown = [None] * len(array.shape)
            spec = getattr(array.sharding, "spec", None) or unknown
            for length, i, names in zip(array.shape, self.axes(array.shape), spec, strict=True):
                free = cut[i] is None and names and used.isdisjoint(_flat(names))
                whole = i != self.axis and length == self.frame[i] and length % _ways(mesh, names) == 0
                if free and whole:
                    cut[i] = names
                    used.update(_flat(names))
        return cut

    def summed(self, t: jax.Array, shape: Shape, cut: list[Any]) -> jax.Array:
        """Sum a result over the devices, if it is a sum over rows that are sharded."""
        names = [
            name
            for length, i in zip(shape, self.axes(shape), strict=True)
            if length != self.frame[i]
            for name in _flat(cut[i])
        ]
        return jax.lax.psum(t.astype(wide(t.dtype)), names).astype(t.dtype) if names else t


def _flat(names: Any) -> tuple[Any, ...]:
    return () if names is None else names if isinstance(names, tuple) else (names,)


def _ways(mesh: Mesh, names: Any) -> int:
    return math.prod(mesh.shape[name] for name in _flat(names))

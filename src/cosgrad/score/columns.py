"""Vectors in an Arrow column: fixed-size lists or lists, with nulls and wrong lengths told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cosgrad.score.rows import GOOD, NULL, WRONG_LENGTH, Rows


def storage(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is stored; that of tensors of one axis is a list."""
    if isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) == 1:
        return kind.storage_type
    return kind


def is_vector(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds vectors of numbers."""
    kind = storage(kind)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def fixed_length(kind: pa.DataType) -> int | None:
    """Return the length that the type itself prescribes."""
    return kind.list_size if pa.types.is_fixed_size_list(kind) else None


def usual_length(column: pa.Array) -> int | None:
    """Return the length that most lists have; None if all are null."""
    lengths = pc.list_value_length(column).drop_null()
    return int(pc.mode(lengths)[0]["mode"].as_py()) if len(lengths) else None


def vectors(column: pa.Array, length: int) -> Rows:
    """Return the vectors (n, length), zeros where a row is bad, and why each row is (n,)."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        elements = column.values.slice(column.offset * size, len(column) * size)
        starts = np.arange(len(column), dtype=np.int64) * size
        lengths = np.full(len(column), size)
    else:
        offsets = column.offsets.to_numpy()
        elements = column.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        starts = offsets[:-1] - offsets[0]
        lengths = np.diff(offsets)
    reasons = np.where(lengths == length, GOOD, WRONG_LENGTH).astype(np.int8)
    if column.null_count:
        reasons[column.is_null().to_numpy(zero_copy_only=False)] = NULL
    numbers = elements.to_numpy(zero_copy_only=False)
    index = None if (reasons == GOOD).all() else np.flatnonzero(reasons == GOOD)
    if index is None:
        rows = numbers.reshape(len(column), length)
    else:
        rows = np.zeros((len(column), length), numbers.dtype)
        rows[index] = numbers[starts[index, None] + np.arange(length)]
    if elements.null_count:
        holes = np.zeros((len(column), length), bool)
        missing = elements.is_null().to_numpy(zero_copy_only=False)
        every = np.flatnonzero(reasons == GOOD)
        holes[every] = missing[starts[every, None] + np.arange(length)]
        reasons[holes.any(1)] = NULL
    return rows, reasons

"""Vectors in an Arrow column of lists or fixed-size lists, and the reasons why rows are bad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cosgrad.score.rows import GOOD, NULL, WRONG_LENGTH, Rows


def storage(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is stored. Tensors of one axis are stored as lists."""
    if isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) == 1:
        return kind.storage_type
    return kind


def is_vector(kind: pa.DataType) -> bool:
    """Return whether a column of this type has vectors of numbers."""
    kind = storage(kind)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def fixed_length(kind: pa.DataType) -> int | None:
    """Return the length that the type prescribes, or None."""
    return kind.list_size if pa.types.is_fixed_size_list(kind) else None


def lengths(column: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the length of every vector. The length of a null is -1."""
    return np.asarray(pc.fill_null(pc.list_value_length(column), -1), np.int64)


SUPPORTED = (
    "vectors are columns of type list, large_list or fixed_size_list, with elements of type float16, "
    "float32, float64 or an integer type"
)


def refusal(subject: str, kind: pa.DataType) -> str:
    """Return the subject and, in brackets, the conversion of a column of this type to vectors."""
    cure = _cure(kind)
    return f"{subject} ({cure})" if cure else subject


def listed(schema: pa.Schema) -> str:
    """Return a list of the columns of a file without vectors, with conversions where they exist."""
    most = 20
    shown = [
        f"{field.name} of {field.type}"
        if pa.types.is_primitive(field.type)
        else refusal(f"{field.name} of {field.type}", field.type)
        for field in list(schema)[:most]
    ]
    return ", ".join(shown) + (f", and {len(schema) - most} more" if len(schema) > most else "")


def _cure(kind: pa.DataType) -> str:
    """Return the conversion of a column of this type to vectors, or "" if there is none."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        if isinstance(kind, pa.FixedShapeTensorType):
            return "reshape every tensor to one axis"
        return f"store it as {kind.storage_type}, then: {_cure(kind.storage_type) or 'it can be read'}"
    if types.is_dictionary(kind):
        return "decode it with pyarrow.Array.dictionary_decode"
    if types.is_run_end_encoded(kind):
        return "decode it with pyarrow.compute.run_end_decode"
    if types.is_map(kind):
        return "write the values of every map as a list"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "" if is_vector(kind) else _cure_of_elements(kind.value_type)
    if is_list_view(kind):
        return f"cast it to pyarrow.list_({kind.value_type})"
    if types.is_struct(kind):
        return "write its fields as one list: numpy.stack of the fields, axis=-1"
    if types.is_string(kind) or types.is_large_string(kind):
        return "parse the text, for instance with json.loads, and write lists of numbers"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "take the numbers out of the bytes with numpy.frombuffer, and write lists of them"
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return "a number a row; to make vectors of several such columns, write them as one list column"
    return ""


def _cure_of_elements(kind: pa.DataType) -> str:
    """Return the conversion of lists of elements of this type to vectors."""
    if pa.types.is_boolean(kind):
        return "cast the elements to int8"
    if pa.types.is_nested(kind):
        return "write one flat list for every vector"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "parse the elements as numbers"
    return "cast the elements to float32 or float64"


def is_list_view(kind: pa.DataType) -> bool:
    """Return whether this is a list view. pyarrow has this type since version 16."""
    return str(kind).startswith(("list_view<", "large_list_view<"))


def vectors(column: pa.Array, length: int) -> Rows:
    """Return the vectors (n, length), with zeros in bad rows, and the reason codes (n,)."""
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

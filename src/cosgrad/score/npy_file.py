"""The header of a .npy file, checked against the size of the file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.score.rows import SourceError

MAGIC, ARCHIVE = b"\x93NUMPY", b"PK"
BFLOAT16 = np.dtype("V2")  # np.save writes bfloat16 as two bytes without a name


@dataclass(frozen=True)
class Header:
    """The contents of the header, and the place of the first element.

    Attributes:
        shape: The number of rows and the length of the vectors.
        fortran: Whether the first axis varies fastest.
        dtype: A dtype of real numbers, or the unnamed two-byte dtype of bfloat16.
        offset: The number of bytes before the first element.
    """

    shape: tuple[int, int]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def header(path: Path, raw: str | None) -> Header:
    """Return the header of a file that holds rows of vectors and nothing else.

    Args:
        path: A regular file.
        raw: "bfloat16" if elements of the unnamed two-byte dtype are bfloat16.

    Raises:
        SourceError: The file is not a .npy file, has other contents, or its size does not match its header.
            The message has the cure.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
        if start.startswith(ARCHIVE):
            raise SourceError(f"{path} is no .npy file but an archive of them; save one array with np.save")
        if start != MAGIC:
            raise SourceError(
                f"{path} is no .npy file: it does not begin with {MAGIC!r}; save it with np.save"
            )
        file.seek(0)
        try:
            version = np.lib.format.read_magic(file)
            # Version 3 differs from 2 only in the encoding of field names. Arrays of numbers have none.
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except (ValueError, EOFError) as error:
            raise SourceError(f"{path} is no .npy file, its header cannot be read: {error}") from None
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        _check_dtype(path, dtype, raw)
        expected = offset + prod(shape) * dtype.itemsize
        if size != expected or min(shape, default=0) < 0:
            file.seek(min(max(expected, 0), size))
            raise SourceError(_wrong_size(path, size, expected, shape, file.read(len(MAGIC)) == MAGIC))
    _check_shape(path, shape)
    return Header((shape[0], shape[1]), fortran, dtype, offset)


def _wrong_size(path: Path, size: int, expected: int, shape: tuple[int, ...], appended: bool) -> str:
    told = f"{path} has {size:,} bytes, but its header says {expected:,} bytes for shape {shape}"
    if size < expected:
        return f"{told}: the file was cut off; write or copy it again"
    if appended:
        return (
            f"{told}: a second array follows, as np.save leaves it when it is called again on one open file; "
            "save one array, for instance np.save(path, np.concatenate(chunks))"
        )
    return f"{told}: {size - expected:,} bytes follow the array; save the array again with np.save"


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) == 2:
        return
    if len(shape) < 2:
        cure = (
            "one vector is saved as a[None, :], N vectors of length L one after the other as a.reshape(N, L)"
        )
    else:
        cure = "to have one vector a row, save a.reshape(-1, a.shape[-1])"
    raise SourceError(f"{path} has shape {shape}, must have two axes, rows of vectors: {cure}")


def _check_dtype(path: Path, dtype: np.dtype[Any], raw: str | None) -> None:
    if dtype.kind in "fiu" or (dtype == BFLOAT16 and raw == "bfloat16"):
        return
    cures = {
        "O": "np.save(path, np.stack(list(a)).astype(np.float32)) saves a list of arrays of one length",
        "c": "save the real and the imaginary parts as columns: np.concatenate([a.real, a.imag], axis=1)",
        "b": "save a.astype(np.int8)",
    }
    cure = cures.get(dtype.kind, "save numbers, for instance a.astype(np.float32)")
    if dtype.names is not None:
        cure = f"np.stack([a[name] for name in {dtype.names}], axis=-1) makes one vector of the fields"
    elif dtype == BFLOAT16:
        cure = (
            "np.save writes bfloat16 like this, and loses the name; give --dtype bfloat16 to read it so, "
            "or save a.astype(np.float32)"
        )
    elif dtype == np.dtype("V1"):
        cure = "np.save writes float8 like this, and loses the name; save a.astype(np.float32)"
    shown = "object" if dtype.kind == "O" else dtype
    raise SourceError(f"{path} is of dtype {shown}, must be of real numbers: {cure}")

"""Tests of the length of vectors: a length that a file fixes decides, otherwise the length of most pairs."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosgrad.score import command, lengths, sources
from cosgrad.score.rows import SourceError


def write(path, rows, *, batch=1, kind=None):
    """Write rows as a column of lists, in batches of this number of rows, and return the path."""
    table = pa.table({"v": pa.array(rows, kind or pa.list_(pa.float32()))})
    if Path(path).suffix == ".parquet":
        pq.write_table(table, path, row_group_size=batch)
        return str(path)
    new = pa.ipc.new_stream if "stream" in Path(path).name else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return str(path)


def ones(*sizes):
    """Return a row of ones of each length. None gives a null row."""
    return [None if n is None else [1.0] * n for n in sizes]


def scored(left, right, tmp_path):
    out = tmp_path / "out.npy"
    code = command.run(command.Options(left, right, out, overwrite=True))
    return np.isfinite(np.load(out)).tolist() if code == 0 else code


@pytest.mark.parametrize("name", ["x.arrow", "x-stream.arrow", "x.parquet"])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_first_batch_does_not_decide(name, batch, tmp_path):
    x = write(tmp_path / name, ones(None, 0, 0, 2, 2, *[5] * 25), batch=batch)
    np.save(tmp_path / "x.npy", np.ones((30, 5), np.float32))
    want = [False] * 5 + [True] * 25
    assert scored(x, x, tmp_path) == want
    assert scored(x, str(tmp_path / "x.npy"), tmp_path) == want
    assert scored(str(tmp_path / "x.npy"), x, tmp_path) == want


def test_a_certain_length_decides_against_the_majority(tmp_path, capsys):
    x = write(tmp_path / "x.parquet", ones(*[3] * 20, *[4] * 5), batch=6)
    y = write(tmp_path / "y.arrow", ones(*[4] * 25), kind=pa.list_(pa.float32(), 4))
    assert scored(x, y, tmp_path) == [False] * 20 + [True] * 5
    assert "left, wrong length: 20 (rows 0, 1, 2" in capsys.readouterr().err
    z = write(tmp_path / "z.arrow", ones(*[7] * 25), kind=pa.list_(pa.float32(), 7))
    assert scored(x, z, tmp_path) == 2  # no row has this length
    assert "LEFT has vectors of length 3, RIGHT of 7" in capsys.readouterr().err
    nulls = write(tmp_path / "n.arrow", ones(*[None] * 25))
    assert scored(nulls, z, tmp_path) == [False] * 25


@pytest.mark.parametrize(
    ("left", "right", "want"),
    [
        ((3, 3, 4, 4, 4), (3, 3, 4, 4, 4), 4),
        ((3, 3, 4, 4), (3, 3, 4, 4), 4),  # a tie: the greater length
        ((4, 4, 3, 3), (4, 4, 3, 3), 4),
        ((0, 0, 0, 0, 2), (0, 0, 0, 0, 2), 2),  # empty rows do not count
        ((3, 3, 3, 3, 8), (8, 8, 8, 8, 8), 8),  # the only length that any pair has
        ((0, 0, None), (0, None, 0), 0),  # all rows are empty
        ((None, None), (None, None), 0),
        ((5, None), (None, 5), 5),  # no pair of vectors, one length
        ((None, 6, 0), (None, None, None), 6),
        ((3, 3, 5), (5, 5, 3), None),  # no pair of vectors, two lengths
        ((3,) * 3000, (8,) * 3000, None),
        ((3,) * 1400 + (8,) * 1600, (3,) * 1400 + (8,) * 1600, 8),
        ((), (), 0),
    ],
)
def test_the_length_of_most_pairs_decides_in_any_order(left, right, want, tmp_path):
    orders = (
        list(permutations(range(len(left)))) if len(left) < 5 else [range(len(left)), range(len(left))[::-1]]
    )
    for order in orders:
        sides = [
            sources.source(
                write(tmp_path / f"{name}.arrow", ones(*(row[i] for i in order)), batch=5 + side * 1019)
            )
            for side, (name, row) in enumerate({"x": left, "y": right}.items())
        ]
        if want is None:
            with pytest.raises(SourceError, match="LEFT has vectors of length 3, RIGHT of"):
                lengths.common(*sides)
        else:
            assert lengths.common(*sides) == want

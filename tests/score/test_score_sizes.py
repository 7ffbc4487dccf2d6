"""Tests of files that are longer or shorter than their header states, and of .npy files of every kind."""

import io
import struct

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosgrad.score import command, sources
from cosgrad.score.rows import SourceError

X = np.random.default_rng(20261121).standard_normal((40, 6)).astype(np.float32)
TABLE = pa.table({"id": np.arange(40), "v": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 6)})


def npy(a):
    file = io.BytesIO()
    np.save(file, a)
    return file.getvalue()


def arrow(new=pa.ipc.new_file, **options):
    sink = pa.BufferOutputStream()
    with new(sink, TABLE.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(TABLE, max_chunksize=15)
    return sink.getvalue().to_pybytes()


def parquet(rows=15):
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, row_group_size=rows)
    return sink.getvalue().to_pybytes()


FILE, STREAM, PARQUET, NPY = arrow(), arrow(pa.ipc.new_stream), parquet(), npy(X)


def size_of_header(message):
    """Return the number of bytes of an Arrow message before its body."""
    return 8 + struct.unpack_from("<I", message, 4)[0]


@pytest.mark.parametrize(("name", "content", "messages"), [
    ("npy", NPY + NPY, [f"{2 * len(NPY):,} bytes", f"says {len(NPY):,}", "second array", "np.concatenate"]),
    ("npy", NPY + npy(X[:3]), ["second array"]),
    ("npy", NPY + b"\n", [f"{len(NPY) + 1:,} bytes", f"says {len(NPY):,}", "1 bytes follow"]),
    ("npy", NPY[:-1], [f"{len(NPY) - 1:,} bytes", f"says {len(NPY):,}", "cut off"]),
    ("npy", NPY[:128], ["128 bytes", "cut off"]),
    ("npy", NPY[:50], ["header cannot be read"]),
    ("npy", NPY[:9], ["header cannot be read"]),
    ("npy", npy(X[:0]) + NPY, ["second array"]),
    ("npy", b"\n" + NPY, ["does not begin with"]),
    ("npy", NPY.replace(b"(40, 6)", b"(-4, 6)"), ["shape (-4, 6)"]),
    ("npy", NPY.replace(b"(40, 6), ", b"(1<<9,6),"), ["header cannot be read"]),
    ("arrow", FILE[:-1], ["no footer", "cut off"]),
    ("arrow", FILE[: len(FILE) // 2], [f"{len(FILE) // 2:,} bytes", "ends at byte"]),
    ("arrow", FILE + b"\n", [f"{len(FILE) + 1:,} bytes", f"ends at byte {len(FILE):,}: 1 bytes"]),
    ("arrow", FILE + FILE, [f"{2 * len(FILE):,} bytes", "joined"]),
    ("arrow", FILE + arrow(compression="zstd"), ["joined"]),
    ("arrow", b"\n" + FILE, ["does not begin as one"]),
    ("arrow", b"ARROW1\0\0", ["no footer", "cut off"]),
    ("arrow", STREAM + STREAM, [f"{2 * len(STREAM):,} b", f"ends at byte {len(STREAM):,}", "second stream"]),
    ("arrow", STREAM[:-8], [f"{len(STREAM) - 8:,} bytes", "without an end mark"]),
    ("arrow", STREAM[:-8] + STREAM, [f"second Arrow stream begins at byte {len(STREAM) - 8:,}"]),
    ("arrow", STREAM[:-4], ["ends at byte"]),
    ("arrow", STREAM[: len(STREAM) // 2], [f"{len(STREAM) // 2:,} bytes", "ends at byte"]),
    ("arrow", STREAM[: size_of_header(STREAM)], ["without an end mark"]),
    ("arrow", STREAM[:20], ["ends at byte"]),
    ("arrow", STREAM + b"\n", ["1 bytes follow"]),
    ("arrow", STREAM[:-8] + b"not a message at all", ["no message begins at byte"]),
    ("arrow", b"FEA1" + bytes(40), ["first version of Feather"]),
    ("parquet", PARQUET + b"\n", [f"has {len(PARQUET) + 1:,} b", f"ends at byte {len(PARQUET):,}: 1 bytes"]),
    ("parquet", b"\n" + PARQUET, ["begins at byte 1"]),
    ("parquet", PARQUET[:-20], [f"{len(PARQUET) - 20:,} bytes", "cut off"]),
    ("parquet", PARQUET + PARQUET, [f"{2 * len(PARQUET):,} b", f"ends at byte {len(PARQUET):,}", "another"]),
    ("parquet", PARQUET + parquet(4), ["another"]),
    ("parquet", parquet(4) + PARQUET, ["another"]),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_a_file_of_another_size_than_its_header_says(name, content, messages, tmp_path, capsys):
    path, out = tmp_path / f"x.{name}", tmp_path / "out.npy"
    path.write_bytes(content)
    (tmp_path / "y.npy").write_bytes(NPY)
    assert command.run(command.Options(str(path), str(tmp_path / "y.npy"), out)) == 2
    told = capsys.readouterr().err
    assert str(path) in told
    for message in messages:
        assert message in told
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "y.npy"}


def without_mark(content):
    """Return an Arrow file without the end mark before its footer, which some writers omit."""
    footer = struct.unpack("<I", content[-10:-6])[0] + 10
    return content[: -footer - 8] + content[-footer:]


def legacy():
    """Return a stream in the format that was used before Arrow 0.15."""
    return arrow(pa.ipc.new_stream, use_legacy_format=True)


@pytest.mark.parametrize("content", [
    FILE, STREAM, legacy(), without_mark(FILE),
    arrow(compression="zstd"), arrow(pa.ipc.new_stream, compression="lz4"),
    arrow(metadata_version=pa.ipc.MetadataVersion.V4),
])  # fmt: skip
def test_every_kind_of_arrow_file_is_whole(content, tmp_path):
    path = tmp_path / "x.arrow"
    path.write_bytes(content)
    file = sources.source(str(path))
    assert file.rows == 40
    for start, stop in ((0, 40), (17, 33), (3, 5)):
        np.testing.assert_array_equal(file.read(start, stop, 6)[0], X[start:stop])


def test_parquet_with_indexes_behind_its_columns_is_whole(tmp_path):
    pq.write_table(TABLE, tmp_path / "x.parquet", row_group_size=15, write_page_index=True, data_page_size=64)
    np.testing.assert_array_equal(sources.source(str(tmp_path / "x.parquet")).read(0, 40, 6)[0], X)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f2", ">f8", ">i4", "|u1"])
def test_npy_of_every_version_and_order(version, order, dtype, tmp_path):
    want = (10 * X).astype(dtype)
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, np.asarray(want, order=order), version)
    file = sources.source(str(tmp_path / "x.npy"))
    assert (file.rows, file.length) == X.shape
    np.testing.assert_array_equal(file.read(3, 17, 6)[0], want[3:17])


@pytest.mark.parametrize("shape", [(0, 6), (5, 0), (0, 0)])
def test_npy_without_elements(shape, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.empty(shape, np.float32))
    out = tmp_path / "out.npy"
    assert command.run(command.Options(str(tmp_path / "x.npy"), str(tmp_path / "x.npy"), out)) == 0
    np.testing.assert_array_equal(np.load(out), np.zeros(shape[0], np.float32))
    assert ("5 zero vectors on the left" in capsys.readouterr().err) == (shape[0] == 5)


@pytest.mark.parametrize(("array", "messages"), [
    (X[0], ["has shape (6,)", "a[None, :]"]),
    (X[0, 0], ["has shape ()"]),
    (X.reshape(4, 10, 6), ["has shape (4, 10, 6)", "a.reshape(-1, a.shape[-1])"]),
    (np.array([[1, "a"]], object), ["dtype object", "np.stack"]),
    (X.astype(complex), ["dtype complex128", "a.real"]),
    (X > 0, ["dtype bool", "a.astype(np.int8)"]),
    (np.array([["1", "2"]]), ["dtype <U1", "save numbers"]),
    (np.array([["2026-01-01"]], "M8[D]"), ["dtype datetime64[D]", "save numbers"]),
    (np.zeros((2, 2), [("a", "f4"), ("b", "f4")]), ["('a', 'b')", "np.stack"]),
    (X.astype(ml_dtypes.bfloat16), ["dtype |V2", "bfloat16", "--dtype bfloat16", "astype(np.float32)"]),
    (X.astype(ml_dtypes.float8_e4m3fn), ["float8", "astype(np.float32)"]),
])  # fmt: skip
def test_npy_of_other_arrays_is_refused_with_the_cure(array, messages, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(SourceError) as error:
        sources.source(str(tmp_path / "x.npy"))
    for message in (str(tmp_path / "x.npy"), *messages):
        assert message in str(error.value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_bfloat16_is_read_where_the_option_says_so(order, tmp_path, capsys):
    x = np.asarray(X.astype(ml_dtypes.bfloat16), order=order)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", X)
    sides, out = (str(tmp_path / "x.npy"), str(tmp_path / "y.npy")), tmp_path / "out.npy"
    assert command.run(command.Options(*sides, out, dtype="bfloat16")) == 0
    a, b = x.astype(np.float64), X.astype(np.float64)
    want = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    got = np.load(out)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=2**-23, atol=2**-40)  # one rounding to float32
    assert command.run(command.Options(sides[1], sides[1], tmp_path / "o.npy", dtype="bfloat16")) == 2
    assert "--dtype bfloat16 is for .npy files of dtype |V2" in capsys.readouterr().err

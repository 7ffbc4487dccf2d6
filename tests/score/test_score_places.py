"""Tests of paths and columns of a wrong kind, zero vectors, and folders left behind by jobs."""

import datetime
import decimal
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosgrad.score import command, job, places, sources
from cosgrad.score.rows import SourceError

N = 30
X = np.random.default_rng(20261121).standard_normal((N, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a new folder that contains x.npy and y.npy, with parts of 10 pairs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "PART_BYTES", 10 * 2 * 4 * 4)
    np.save("x.npy", X)
    np.save("y.npy", X[::-1])
    return tmp_path


def score(left="x.npy", right="y.npy", out="out.npy", **options):
    return command.run(command.Options(left, right, Path(out), **options))


@pytest.mark.parametrize(("where", "messages"), [
    ("folder", ["folder is a folder", "merge"]),
    ("folder.parquet:v", ["folder.parquet is a folder"]),
    ("folder/*.parquet", ["folder/*.parquet is a glob pattern", "one local file"]),
    ("folder/*.parquet:v", ["glob"]),
    ("x[0-9].npy", ["glob"]),
    ("s3://bucket/x.parquet", ["s3://bucket/x.parquet is a URL (s3://...)", "download"]),
    ("https://host/x.parquet:v", ["https://host/x.parquet:v is a URL"]),
    ("file:///x.npy", ["URL"]),
    ("none.npy", ["none.npy does not exist"]),
    ("none.parquet:v", ["there is no file none.parquet with a column 'v'"]),
    ("~/none.npy", ["~/none.npy does not exist", "shell"]),
    ("x.npy:", ["x.npy: ends with a colon"]),
    ("x.npy\0", ["null character"]),
    ("dangling.npy", ["dangling.npy is a symbolic link to nowhere.npy"]),
    ("loop.npy", ["loop.npy is a symbolic link to loop.npy"]),
    ("pipe.npy", ["pipe.npy is a named pipe"]),
    ("socket.npy", ["socket.npy is a socket"]),
    ("/dev/null", ["/dev/null is a device"]),
    ("empty.parquet", ["empty.parquet is empty (0 bytes)"]),
    ("empty.arrow", ["empty.arrow is empty (0 bytes)"]),
])  # fmt: skip
def test_a_place_that_is_not_a_file_is_refused_with_the_cure(where, messages, capsys):
    Path("folder").mkdir()
    Path("folder.parquet").mkdir()
    Path("dangling.npy").symlink_to("nowhere.npy")
    Path("loop.npy").symlink_to("loop.npy")
    os.mkfifo("pipe.npy")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.npy")
    for name in ("empty.parquet", "empty.arrow"):
        Path(name).touch()
    assert score(left=where) == 2
    told = capsys.readouterr().err
    assert score(right=where) == 2
    for message in messages:
        assert message in told
        assert message in capsys.readouterr().err or message is not messages[0]
    assert not Path("out.npy.parts").exists()


@pytest.mark.parametrize(("out", "message"), [
    ("s3://bucket/out.npy", "is a URL (s3://...)"),
    ("folder.npy", "folder.npy is a folder"),
    ("pipe.npy", "pipe.npy is not a regular file"),
    ("link.npy", "is LEFT itself"),
    ("y.npy", "is RIGHT itself"),
    ("blob.npy", "blob.bin has suffix '.bin'"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_refused(out, message, capsys):
    Path("folder.npy").mkdir()
    os.mkfifo("pipe.npy")
    Path("link.npy").hardlink_to("x.npy")
    Path("blob.npy").symlink_to("blob.bin")
    assert score(out=out, overwrite=True) == 2
    assert message in capsys.readouterr().err


def test_errors_of_permission_name_the_file(monkeypatch, capsys):
    opened = Path.open

    def refusing(self, mode="r", *rest, **options):
        if self.name == "x.npy":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert score() == 2
    assert "x.npy cannot be read: Permission denied" in capsys.readouterr().err


def test_the_suffix_of_a_link_counts_not_that_of_its_target(folder):
    Path("x.npy").rename("blob")
    Path("x.npy").symlink_to("blob")
    assert score() == 0
    assert places.absolute("x.npy") == str(folder.resolve() / "x.npy")


def test_colons_in_paths():
    pq.write_table(pa.table({"v": list(X), "a:b": list(X[::-1])}), Path("a:b.parquet").absolute())
    assert score("a:b.parquet:v", "a:b.parquet:a:b") == 0
    Path("x.npy").rename("x:y.npy")
    assert score("x:y.npy", out="o.npy") == 0
    np.testing.assert_array_equal(np.load("out.npy"), np.load("o.npy"))


DAY = datetime.date(2026, 11, 21)
OTHER = {
    "text": (pa.array(["[1, 2]"]), ["string", "json.loads"]),
    "dictionary": (pa.array(["a"]).dictionary_encode(), ["dictionary<", "dictionary_decode"]),
    "view": (pa.array([[1.0]], pa.list_view(pa.float32())), ["list_view<", "cast it to pyarrow.list_"]),
    "struct": (pa.array([{"a": 1.0}]), ["struct<", "one list"]),
    "map": (pa.array([[("a", 1.0)]], pa.map_(pa.string(), pa.float32())), ["map<", "as a list"]),
    "decimals": (pa.array([[decimal.Decimal(1)]]), ["list<item: decimal", "cast the elements to float32"]),
    "times": (pa.array([[datetime.time(1)]]), ["list<item: time", "cast the elements to float32"]),
    "dates": (pa.array([DAY]), ["date32"]),
    "texts": (pa.array([["1"]]), ["list<item: string>", "parse the elements"]),
    "lists": (pa.array([[[1.0]]]), ["list<item: list<", "one flat list"]),
    "bytes": (pa.array([b"1234"], pa.binary(4)), ["fixed_size_binary[4]", "numpy.frombuffer"]),
    "bools": (pa.array([[True]]), ["list<item: bool>", "cast the elements to int8"]),
    "bool": (pa.array([True]), ["bool", "one list column"]),
    "number": (pa.array([1.0]), ["double", "one list column"]),
    "runs": (pa.RunEndEncodedArray.from_arrays([1], [1.0]), ["run_end_encoded<", "run_end_decode"]),
    "tensor": (
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [2, 2]), pa.FixedSizeListArray.from_arrays(pa.array(X[0]), 4)
        ),
        ["fixed_shape_tensor", "reshape"],
    ),
    "null": (pa.nulls(1), ["null"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER)
def test_a_column_of_another_type_is_refused_with_the_cure(kind):
    column, messages = OTHER[kind]
    table = pa.table({kind: column})
    with pa.OSFile("x.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(SourceError) as error:
        sources.source(f"x.arrow:{kind}")
    for message in (
        f"column {kind!r} of x.arrow is of type",
        "list, large_list or fixed_size_list",
        *messages,
    ):
        assert message in str(error.value)
    with pytest.raises(
        SourceError, match=r"x\.arrow has no column of lists of numbers, it has .*float16, float32"
    ):
        sources.source("x.arrow")


def test_columns_that_are_missing_or_named_twice():
    column = pa.array(list(X))
    table = pa.Table.from_arrays([column, column, pa.array([{"b": 1.0}] * N)], ["v", "v", "a"])
    with pa.OSFile("x.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for column, message in (
        ("v", "x.arrow has 2 columns named 'v'; rename"),
        ("w", r"x.arrow has no column 'w'; it has \['v', 'v', 'a'\]"),
        ("a.b", "x.arrow has no column 'a.b', and columns inside others are not read"),
    ):
        with pytest.raises(SourceError, match=message):
            sources.source(f"x.arrow:{column}")


@pytest.mark.parametrize(("quantity", "value"), [("similarity", 0), ("distance", 1)])
def test_zero_vectors_are_counted_and_are_not_bad(quantity, value, capsys):
    x, y = X.tolist(), X[::-1].tolist()
    x[0] = x[9] = x[10] = [0.0, -0.0, 0.0, 0.0]
    x[20], y[20] = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]  # orthogonal
    x[21] = [0.0, 0.0, 1e-45, 0.0]
    y[9], y[10], y[11] = [0.0] * 4, None, [0.0, 0.0, float("nan"), 0.0]
    x[11] = [0.0] * 4
    for name, rows in (("x", x), ("y", y)):
        pq.write_table(pa.table({"v": pa.array(rows, pa.list_(pa.float32(), 4))}), f"{name}.parquet")
    assert score("x.parquet", "y.parquet", quantity=quantity, strict=False) == 0
    told = capsys.readouterr().err
    assert f"4 zero vectors on the left (rows 0, 9, 10, 11), their {quantity} is {value}" in told
    assert f"1 zero vectors on the right (rows 9), their {quantity} is {value}" in told
    got = np.load("out.npy")
    np.testing.assert_array_equal(got[[0, 9, 20]], value)
    assert Path("out.npy.bad_rows.csv").read_text().splitlines()[1:] == [
        "right,10,null",
        "right,11,not finite",
    ]


@pytest.mark.parametrize("dtype", [np.int8, np.float64])
def test_many_zero_vectors_and_strict(dtype, capsys):
    np.save("x.npy", np.zeros((N, 4), dtype))
    assert score("x.npy", "x.npy", strict=True) == 0
    assert "30 zero vectors on the right (rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)" in capsys.readouterr().err
    assert sorted(p.name for p in Path().iterdir()) == ["out.npy", "x.npy", "y.npy"]


def failing(error):
    def compute(self, part):
        raise error

    return compute


@pytest.mark.parametrize(
    ("error", "code"),
    [(SourceError("x.npy is broken"), 2), (KeyboardInterrupt(), 130), (MemoryError("no room"), None)],
)
def test_a_job_that_fails_before_its_first_part_leaves_nothing(error, code, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(job.Worker, "compute", failing(error))
        if code is None:
            with pytest.raises(MemoryError, match="no room"):
                score()
        else:
            assert score() == code
    assert sorted(p.name for p in Path().iterdir()) == ["x.npy", "y.npy"]
    np.save("x.npy", X + 1)  # the corrected file; another size, time or length makes another job
    assert score() == 0


def test_parts_of_nothing_do_not_block_the_mended_file(monkeypatch):
    """Check that a folder without parts does not block the job of the corrected file.

    A killed process leaves its description and its lock, and no part.
    """
    Path("out.npy.parts").mkdir()
    Path("out.npy.parts/job.json").write_text('{"left": "another"}')
    Path("out.npy.parts/lock").touch()
    assert score() == 0
    assert not Path("out.npy.parts").exists()


def test_a_job_that_fails_later_keeps_its_parts(monkeypatch, capsys):
    compute = job.Worker.compute
    with monkeypatch.context() as broken:
        broken.setattr(
            job.Worker,
            "compute",
            lambda self, part: compute(self, part) if part < 2 else failing(SourceError())(self, part),
        )
        assert score() == 2
    assert len(list(Path("out.npy.parts").glob("*.npy"))) == 2
    assert score() == 0
    assert "going on: 2 of 3 parts are done" in capsys.readouterr().err


def test_errors_of_memory_name_the_file(monkeypatch, capsys):
    pq.write_table(pa.table({"v": list(X)}), "x.parquet")

    def exhausted(*_):
        raise pa.ArrowMemoryError("malloc of size 99 failed")

    with monkeypatch.context() as full:
        full.setattr(sources.Parquet, "_until", exhausted)
        assert score("x.parquet") == 2
    told = capsys.readouterr().err
    assert "x.parquet cannot be read, rows 0 to 10: " in told
    assert "malloc of size 99 failed" in told

    def refused(*_, **__):
        raise MemoryError

    with monkeypatch.context() as full:
        full.setattr(sources, "npy_rows", refused)
        assert score() == 2
    assert "x.npy cannot be read, rows 0 to 10: not enough memory" in capsys.readouterr().err
    monkeypatch.setattr(job.cosgrad.numpy, "cosine_similarity", lambda x, y: x if len(x) == 1 else refused())
    assert score() == 2
    assert "y.npy: not enough memory to score rows 0 to 10" in capsys.readouterr().err


READ = """
import sys
import pyarrow as pa
from cosgrad.score import sources
for path in sys.argv[1:]:
    file = sources.source(path)
    assert sum(len(lengths) for lengths in file.lengths()) == 2000
    assert file.read(10, 1500, 4)[0].shape == (1490, 4)
print(pa.default_memory_pool().max_memory())
"""


def test_no_other_column_is_decoded():
    """Check that pyarrow's peak memory is far below the size of one of the other columns."""
    n, big = 2000, 5000
    v = np.random.default_rng(20261121).standard_normal((n, 4)).astype(np.float32)
    table = pa.table({"before": ["x" * big] * n, "v": list(v), "behind": ["x" * big] * n})
    for suffix, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        for compression in ("zstd", None):
            options = pa.ipc.IpcWriteOptions(compression=compression)
            with (
                pa.OSFile(f"{suffix}-{compression}.arrow", "wb") as file,
                new(file, table.schema, options=options) as writer,
            ):
                writer.write_table(table)
    pq.write_table(table, "x.parquet", use_dictionary=False)
    paths = sorted(str(path) for path in [*Path().glob("*.arrow"), "x.parquet"])
    run = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True)
    assert len(paths) == 5
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < n * big / 4

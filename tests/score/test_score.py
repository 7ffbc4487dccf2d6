"""Tests of `cosgrad score` on every kind of file, against the results of whole arrays."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cosgrad
import cosgrad.numpy as C
from cosgrad.score import command, engines, job, parts, sources

N, LENGTH = 3000, 8


@pytest.fixture
def pairs(rng):
    x = rng.standard_normal((N, LENGTH)).astype(np.float32)
    return x, x + np.float32(0.1) * rng.standard_normal((N, LENGTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Use parts of 100 pairs and reads of 70 rows, so that they overlap in many ways."""
    monkeypatch.setattr(job, "PART_BYTES", 100 * 2 * 4 * LENGTH)
    monkeypatch.setattr(sources, "READ_BYTES", 70 * 4 * LENGTH)


def fixed(a):
    return pa.FixedSizeListArray.from_arrays(pa.array(a.ravel()), a.shape[1])


def lists(a):
    return pa.array(list(a), pa.list_(pa.from_numpy_dtype(a.dtype)))


def write(kind, path, a):
    table = pa.table({"id": np.arange(len(a)), "v": lists(a) if "lists" in kind else fixed(a)})
    match kind.split()[0]:
        case "npy":
            np.save(path, a)
        case "fortran":
            np.save(path, np.asfortranarray(a))
        case "parquet":
            pq.write_table(table, path, row_group_size=470)
        case "arrow":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=333)
        case "stream":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=333)
    return str(path)


SUFFIXES = {"npy": "npy", "fortran": "npy", "parquet": "parquet", "arrow": "arrow", "stream": "arrow"}


def read(path):
    match path.suffix:
        case ".npy":
            return np.load(path)
        case ".parquet":
            return pq.read_table(path).column(0).to_numpy()
        case ".arrow":
            return pa.ipc.open_file(str(path)).read_all().column(0).to_numpy()


def score(left, right, out, **options):
    return command.run(command.Options(left, right, out, **options))


@pytest.mark.parametrize("kind", ["npy", "fortran", "parquet", "parquet lists", "arrow", "stream lists"])
def test_every_kind_of_file(kind, pairs, tmp_path):
    x, y = pairs
    left = write(kind, tmp_path / f"x.{SUFFIXES[kind.split()[0]]}", x)
    right = write("npy", tmp_path / "y.npy", y)
    out = tmp_path / "out.npy"
    assert score(left, right, out, quantity="distance") == 0
    np.testing.assert_array_equal(np.load(out), C.cosine_distance(x, y))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({Path(left).name, "y.npy", "out.npy"})


@pytest.mark.parametrize("suffix", ["npy", "parquet", "arrow"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_every_kind_of_output(dtype, suffix, rng, tmp_path):
    x, y = ((10 * rng.standard_normal((N, LENGTH))).astype(dtype) for _ in range(2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    out = tmp_path / f"out.{suffix}"
    assert score(str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), out) == 0
    want = C.cosine_similarity(x, y)
    got = read(out)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["npy", "parquet", "parquet lists", "arrow", "stream lists"])
def test_rows_are_read_in_any_order(kind, pairs, tmp_path, rng):
    x, _ = pairs
    file = sources.source(write(kind, tmp_path / f"x.{SUFFIXES[kind.split()[0]]}", x))
    starts = rng.integers(0, N, 200)
    stops = np.minimum(starts + rng.integers(1, 900, 200), N)
    got = [file.read(start, stop, LENGTH)[0] for start, stop in zip(starts, stops, strict=True)]
    want = [x[start:stop] for start, stop in zip(starts, stops, strict=True)]
    np.testing.assert_array_equal(np.concatenate(got), np.concatenate(want))


def test_threads_of_one_worker_do_not_share_where_they_read(pairs, tmp_path):
    left, right = (
        write("parquet", tmp_path / f"{name}.parquet", a) for name, a in zip("xy", pairs, strict=True)
    )
    work = job.plan(left, right, tmp_path / "out.npy", "similarity")
    with parts.opened(work, restart=False), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: engines.compute(work, part, cosgrad.__version__), work.missing()))
        parts.finish(work)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), C.cosine_similarity(*pairs))


def with_bad_rows(y, path):
    rows = y.tolist()
    rows[5] = None
    rows[107] = [1.0]
    rows[211][3] = None
    rows[2999][0] = float("nan")
    rows[0][1] = float("inf")
    pq.write_table(pa.table({"v": pa.array(rows, pa.list_(pa.float32()))}), path, row_group_size=470)
    return str(path)


def test_bad_rows_are_told_by_number(pairs, tmp_path, capsys):
    x, y = pairs
    left, right = write("npy", tmp_path / "x.npy", x), with_bad_rows(y, tmp_path / "y.parquet")
    out = tmp_path / "out.npy"
    assert score(left, right, out) == 0
    told = capsys.readouterr().err
    for words in (
        "right, null: 2 (rows 5, 211)",
        "right, wrong length: 1 (rows 107)",
        "right, not finite: 2 (rows 0, 2999)",
    ):
        assert words in told
    table = (tmp_path / "out.npy.bad_rows.csv").read_text().splitlines()
    assert table[0] == "side,row,reason"
    assert sorted(table[1:]) == [
        "right,0,not finite",
        "right,107,wrong length",
        "right,211,null",
        "right,2999,not finite",
        "right,5,null",
    ]
    got = np.load(out)
    bad = np.isin(np.arange(N), [0, 5, 107, 211, 2999])
    assert np.isnan(got[bad]).all()
    np.testing.assert_array_equal(got[~bad], C.cosine_similarity(x, y)[~bad])


def test_strict_makes_bad_rows_an_error(pairs, tmp_path, capsys):
    x, y = pairs
    left, right = write("npy", tmp_path / "x.npy", x), with_bad_rows(y, tmp_path / "y.parquet")
    out = tmp_path / "out.npy"
    assert score(left, right, out, strict=True) == 1
    assert "right, not finite" in capsys.readouterr().err
    assert not out.exists()
    assert score(left, right, out) == 0  # without strict=True the job continues


def test_an_interrupted_run_goes_on(pairs, tmp_path, capsys, monkeypatch):
    x, y = pairs
    left, right = write("parquet", tmp_path / "x.parquet", x), write("npy", tmp_path / "y.npy", y)
    whole, resumed = tmp_path / "whole.parquet", tmp_path / "resumed.parquet"
    assert score(left, right, whole) == 0
    compute, seen = job.Worker.compute, []

    def failing(self, part):
        seen.append(part)
        if len(seen) == 12:
            raise KeyboardInterrupt
        return compute(self, part)

    monkeypatch.setattr(job.Worker, "compute", failing)
    assert score(left, right, resumed) == 130
    assert not resumed.exists()
    seen.clear()
    seen.extend([-1] * 12)
    assert score(left, right, resumed) == 0
    assert "going on: 11 of 30 parts are done" in capsys.readouterr().err
    assert seen[12:] == list(range(11, 30))
    assert resumed.read_bytes() == whole.read_bytes()


def test_parts_of_another_job_are_not_mixed(pairs, tmp_path, capsys, monkeypatch):
    left, right = (write("npy", tmp_path / f"{name}.npy", a) for name, a in zip("xy", pairs, strict=True))
    out = tmp_path / "out.npy"
    monkeypatch.setattr(parts, "finish", lambda work: None)
    assert score(left, right, out) == 0
    assert score(left, right, out, quantity="distance") == 2
    assert "parts of a job with other quantity" in capsys.readouterr().err
    monkeypatch.undo()
    assert score(left, right, out, quantity="distance", restart=True) == 0


def test_parts_of_another_job_without_its_description_are_not_taken(pairs, tmp_path, monkeypatch):
    x, y = pairs
    left, right = (write("npy", tmp_path / f"{name}.npy", a) for name, a in zip("xy", pairs, strict=True))
    other = write("npy", tmp_path / "z.npy", 2 - y)
    out = tmp_path / "out.npy"
    monkeypatch.setattr(parts, "finish", lambda work: None)
    assert score(left, right, out) == 0
    monkeypatch.undo()
    (tmp_path / "out.npy.parts" / "job.json").unlink()
    assert score(left, other, out) == 0
    np.testing.assert_array_equal(np.load(out), C.cosine_similarity(x, 2 - y))
    assert not (tmp_path / "out.npy.parts").exists()


def test_a_file_that_changes_is_noticed(pairs, tmp_path, capsys, monkeypatch):
    left, right = (write("npy", tmp_path / f"{name}.npy", a) for name, a in zip("xy", pairs, strict=True))
    compute = job.Worker.compute

    def changing(self, part):
        if part == 5:
            np.save(left, pairs[1])
        return compute(self, part)

    monkeypatch.setattr(job.Worker, "compute", changing)
    assert score(left, right, tmp_path / "out.npy") == 2
    assert "has changed since the job began" in capsys.readouterr().err
    assert not (tmp_path / "out.npy").exists()


def test_two_at_once_are_refused(pairs, tmp_path, capsys):
    left, right = (write("npy", tmp_path / f"{name}.npy", a) for name, a in zip("xy", pairs, strict=True))
    work = job.plan(left, right, tmp_path / "out.npy", "similarity")
    with parts.opened(work, restart=False):
        assert score(left, right, tmp_path / "out.npy", restart=True) == 2
        assert "another process is writing" in capsys.readouterr().err
        assert (tmp_path / "out.npy.parts" / "job.json").exists()


def test_a_job_goes_on_from_another_folder(pairs, tmp_path, monkeypatch):
    for name, a in zip("xy", pairs, strict=True):
        write("npy", tmp_path / f"{name}.npy", a)
    (tmp_path / "below").mkdir()
    monkeypatch.setattr(parts, "finish", lambda work: None)
    monkeypatch.chdir(tmp_path)
    assert score("x.npy", "y.npy", Path("out.npy")) == 0
    monkeypatch.undo()
    # All parts are done, so this method must not be called.
    monkeypatch.setattr(job.Worker, "compute", None)
    monkeypatch.setattr(job, "PART_BYTES", 100 * 2 * 4 * LENGTH)
    monkeypatch.chdir(tmp_path / "below")
    assert score("../below/../x.npy", "../y.npy", Path("../out.npy")) == 0
    np.testing.assert_array_equal(np.load("../out.npy"), C.cosine_similarity(*pairs))


@pytest.mark.parametrize("order", [1, -1])
def test_one_short_row_at_the_start_does_not_set_the_length(order, pairs, tmp_path):
    x, y = pairs
    rows = x.tolist()
    rows[0] = [1.0]
    pq.write_table(pa.table({"a:b/c": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
    sides = [f"{tmp_path}/x.parquet:a:b/c", write("parquet lists", tmp_path / "y.parquet", y)][::order]
    assert score(*sides, tmp_path / "out.npy") == 0
    got = np.load(tmp_path / "out.npy")
    assert np.isnan(got[0])
    np.testing.assert_array_equal(got[1:], C.cosine_similarity(x, y)[1:])


def test_tensors_are_vectors_and_names_are_no_markup(pairs, tmp_path, capsys):
    x, y = pairs
    storage = fixed(x)
    table = pa.table(
        {"v": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [LENGTH]), storage)}
    )
    path = tmp_path / "x.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=333)
    out = tmp_path / "[a][red].npy"
    assert score(str(path), write("npy", tmp_path / "y.npy", y), out) == 0
    assert "[a][red].npy" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(out), C.cosine_similarity(x, y))


CHILD = """
import sys, time
from cosgrad.score import command, job
compute = job.Worker.compute
def slowly(self, part):
    time.sleep(0.05)
    return compute(self, part)
job.PART_BYTES, job.Worker.compute = {part_bytes}, slowly
from pathlib import Path
sys.exit(command.run(command.Options({left!r}, {right!r}, Path({out!r}))))
"""


def test_a_killed_run_leaves_no_half_file_and_goes_on(pairs, tmp_path):
    left, right = (write("npy", tmp_path / f"{name}.npy", a) for name, a in zip("xy", pairs, strict=True))
    out = tmp_path / "out.arrow"
    program = CHILD.format(part_bytes=job.PART_BYTES, left=left, right=right, out=str(out))
    child = subprocess.Popen([sys.executable, "-c", program])
    parts = Path(f"{out}.parts")
    while len(list(parts.glob("*.npy"))) < 5:
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not out.exists()
    assert score(left, right, out) == 0
    np.testing.assert_array_equal(read(out), C.cosine_similarity(*pairs))


@pytest.mark.parametrize(("left", "right", "out", "message"), [
    ("x.npy", "short.npy", "o.npy", "LEFT has 3000 rows and RIGHT 10"),
    ("x.npy", "narrow.npy", "o.npy", "LEFT has vectors of length 8, RIGHT of 3"),
    ("x.npy", "none.npy", "o.npy", "none.npy does not exist"),
    ("x.npy", "y.csv", "o.npy", "y.csv has suffix '.csv'"),
    ("x.npy", "cube.npy", "o.npy", "has shape (2, 2, 2), must have two axes"),
    ("x.npy", "two.parquet", "o.npy", "has columns of vectors ['a', 'b']"),
    ("x.npy", "two.parquet:c", "o.npy", "has no column 'c'"),
    ("x.npy", "two.parquet:id", "o.npy", "column 'id'"),
    ("x.npy", "x.npy:v", "o.npy", "a .npy file has no columns"),
    ("x.npy", "x.npy", "o.txt", "--out"),
    ("x.npy", "x.npy", "none/o.npy", "there is no folder"),
    ("x.npy", "x.npy", "y.csv.npy", "exists: remove it, or give --overwrite"),
    ("x.npy", "x.npy", "bad.npy", "bad.npy.bad_rows.csv exists: remove it, or give --overwrite"),
    ("x.npy", "short.npy", "x.npy", "is LEFT itself"),
    ("x.npy", "x.npy", "folder.npy", "folder.npy is a folder"),
    ("x.npy", "x.npy", "taken.npy", "taken.npy.parts, where parts are kept, holds something else: mine"),
    ("x.npy", "x.npy", "file.npy", "file.npy.parts is in the way"),
    ("x.npy", "empty.npy", "o.npy", "empty.npy is empty (0 bytes)"),
    ("x.npy", "archive.npy", "o.npy", "is no .npy file but an archive"),
    ("x.npy", "views.arrow", "o.npy", "has no column of lists of numbers, it has v of list_view"),
    ("x.npy", "broken.arrow", "o.npy", "broken.arrow cannot be read"),
    ("x.npy", "broken.parquet", "o.npy", "broken.parquet cannot be read"),
    ("x.npy", "cut.parquet", "o.npy", "cut.parquet cannot be read"),
    ("x.npy", "long.npy", "o.npy", "RIGHT of float128"),
])  # fmt: skip
def test_errors_name_the_file(left, right, out, message, pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, _ = pairs
    np.save("x.npy", x)
    np.save("short.npy", x[:10])
    np.save("narrow.npy", x[:, :3])
    np.save("cube.npy", np.ones((2, 2, 2)))
    for name in ("y.csv", "y.csv.npy", "bad.npy.bad_rows.csv", "empty.npy", "file.npy.parts"):
        Path(name).touch()
    for name in ("folder.npy", "taken.npy.parts/mine"):
        Path(name).mkdir(parents=True)
    with Path("archive.npy").open("wb") as file:
        np.savez(file, x)
    views = pa.table({"v": pa.array([[1.0]], pa.list_view(pa.float32()))})
    with pa.OSFile("views.arrow", "wb") as file, pa.ipc.new_file(file, views.schema) as writer:
        writer.write_table(views)
    np.save("long.npy", x.astype(np.longdouble))
    Path("broken.arrow").write_bytes(b"nothing")
    Path("broken.parquet").write_bytes(b"nothing at all")
    pq.write_table(pa.table({"id": np.arange(N), "a": fixed(x), "b": fixed(x)}), "two.parquet")
    Path("cut.parquet").write_bytes(Path("two.parquet").read_bytes()[:9000])
    assert score(left, right, Path(out)) == 2
    assert message in capsys.readouterr().err

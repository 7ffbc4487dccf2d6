"""Tests of the benchmark's protocol and of its command line."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from bench_cases import PROTOCOL, entries, figure
from rich.console import Console

from cosgrad.bench.accuracy import in_ulp, judge, truth
from cosgrad.bench.command import as_json, chosen, show
from cosgrad.bench.entries import KINDS, QUANTITIES, Protocol
from cosgrad.bench.measure import measure, points, steps
from cosgrad.bench.summary import better, findings, troubles
from cosgrad.bench.timing import in_turn

COMMAND = [sys.executable, "-P", "-c", "from cosgrad.cli import main; main()", "bench"]
TINY = Protocol((1.0, 1e-3), (1e-30, 1.0), 2, (8, 16), (8,), 8, rounds=2, fewest=2)


def fake(folder, monkeypatch, **modules):
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source + "\n")
        facts = folder / f"{name}-1.0.dist-info" / "METADATA"
        facts.parent.mkdir()
        facts.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def test_turns_alternate_and_the_budget_ends_them_after_the_fewest_rounds():
    order = []
    ways = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    assert in_turn(ways, 5, fewest=2, budget=0.0) == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    assert order == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("values", "ulp"),
    [([0.5], 0.0), ([0.5 + 2.0**-24], 1.0), ([np.nan], inf), ([np.inf], inf), ([0.5 + 1e-12], 0.0)],
    ids=["exact", "one ulp", "nan", "inf", "wide"],
)
def test_errors_are_in_ulp_of_float32(values, ulp):
    true = truth([[1.0, 0.0]], [[0.5, np.sqrt(0.75)]], distance=False)
    true[0] = type(true[0])(0.5)
    assert in_ulp(values, true)[0] == pytest.approx(ulp)
    assert judge(values, true).wrong == (ulp > 0.5)


@pytest.mark.parametrize("against", ["angle", "scale"])
def test_points_are_where_they_say(against):
    curve = points(TINY, against)
    x, y = curve.x.astype(np.float64), curve.y.astype(np.float64)
    sizes = np.linalg.norm(x, axis=1)
    angles = np.arccos(np.sum(x * y, axis=1) / sizes / np.linalg.norm(y, axis=1))
    found = angles if against == "angle" else sizes
    np.testing.assert_allclose(found, np.repeat(curve.at, TINY.pairs), rtol=1e-3)


def test_everyone_is_measured_and_who_fails_is_named(tmp_path, monkeypatch):
    source = "import numpy as np\ndef cosine(x, y):\n    if len(x) == 16: raise RuntimeError('no 16')\n"
    source += "    return np.full(len(x), 0.25, np.float32)"
    fake(tmp_path, monkeypatch, simsimd=source, numkong="import nothing_of_that_name")
    libraries, told = chosen("simsimd,numkong"), []
    by_name = {e.name: e for e in measure(TINY, libraries, told.append)}
    assert len(told) == steps(TINY, libraries)
    ours, wrong, absent = (by_name[name] for name in ("cosgrad.numpy", "simsimd", "numkong"))
    assert (ours.status, wrong.status, absent.status) == ("measured", "measured", "missing")
    assert not ours.failed
    assert all(max(ours.errors[q][a]) <= 0.501 for q in QUANTITIES for a in ("angle", "scale"))
    assert min(wrong.errors["distance"]["angle"]) > 1e5
    assert set(ours.figures["forward"]) == {8, 16}
    assert ours.figures["forward"][8].seconds > 0
    assert set(wrong.figures["forward"]) == {8}
    assert wrong.figures["forward"][8].ratio > 0
    assert wrong.failed == {"forward": "RuntimeError: no 16"}
    forward = "simsimd, forward: RuntimeError: no 16"
    absent.version = None
    assert troubles(list(by_name.values())) == ["not installed: numkong", forward]
    absent.version = "1.0"
    why = "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert troubles(list(by_name.values())) == [f"numkong: {why}", forward]


def test_what_a_process_that_is_gone_was_not_asked_is_not_called_a_crash(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, simsimd="import os\ndef cosine(x, y):\n    os.kill(os.getpid(), 11)")
    by_name = {e.name: e for e in measure(TINY, chosen("simsimd"), lambda step: None)}
    gone = "not measured: its process was gone before"
    assert by_name["simsimd"].failed == {
        "similarity": "it crashed: its process was killed by SIGSEGV",
        "distance": gone,
        "loss": gone,
        "forward": gone,
    }


def test_the_findings_say_where_a_rival_is_better():
    ours, *rivals = (e for e in entries() if e.status == "measured")
    assert better([ours], rivals, PROTOCOL) == [
        "fast is 4x as fast (forward, 32 rows)",
        "fast takes 70 MB less (forward, 4,096 rows)",
    ]
    assert better([ours], rivals[:1], PROTOCOL) == ["Nowhere that was measured"]


def test_a_rival_that_is_nearer_to_the_truth_is_told():
    ours, rival, *_ = entries()
    ours.errors["distance"]["angle"][1] = 3e3
    assert better([ours], [rival], PROTOCOL) == [
        "slow errs by only 1000 ulp (distance, 0.001 rad, ours 3000)"
    ]


def test_the_findings_name_the_best_and_the_worst():
    found = dict(findings(entries(), PROTOCOL))
    assert found["Accuracy"] == (
        "cosgrad's largest error is 0.5000 ulp (similarity, 0.001 rad); of the others fast comes nearest, "
        "with 1e6 ulp (similarity, 1e-7 rad), and slow is farthest, with 5e9 ulp (similarity, 1e-7 rad)"
        "; 1 of 3 return NaN or Inf for some input."
    )
    assert "0.95x to 25x as fast at one similarity a row, 4,096 rows" in found["Speed"]
    assert "90 MB for one similarity a row of 4,096 rows, the others 20 MB to 300 MB" in found["Memory"]


def test_the_terminal_needs_80_columns_and_breaks_no_figure():
    console = Console(width=80, record=True, file=io.StringIO())
    about = {"processor": "p", "cpus": 2, "isa": "baseline"}
    widest = [replace(e, name="sentence-transformers") if e.name == "slow" else e for e in entries()]
    widest[1].figures["forward"] |= {n: figure(None, 1, 123e-6) for n in (512, 32768)}
    widest[0].figures["forward"] |= {n: figure(None, 987_000_000, 123e-6) for n in (512, 32768)}
    show(console, widest, PROTOCOL, about, [])
    text = console.export_text()
    assert text.count("sentence-transformers") >= 3
    assert text.count("123 µs") == 2
    assert "32,768" in text
    assert "…" not in text


def test_json_keeps_every_figure_and_knows_no_inf():
    content = json.loads(json.dumps(as_json(entries(), PROTOCOL, {"cpus": 2}), allow_nan=False))
    assert set(content) == {"schema", "machine", "protocol", "findings", "libraries"}
    slow = content["libraries"][1]
    assert slow["errors"]["distance"]["scale"] == ["inf", 2]
    assert slow["figures"]["loss"]["4096"]["ratio"] == 25.0
    assert [each["status"] for each in content["libraries"]] == ["measured"] * 4 + ["missing", "failed"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_a_report_that_cannot_be_written_loses_no_other(tmp_path):
    arguments = ["--quick", "--rivals", "simsimd", "--json", "/dev/full", "--html", str(tmp_path / "b.html")]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot write /dev/full: No space left on device" in done.stderr
    assert "</html>" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rivals", "scipy,fortran"], "unknown fortran: bench knows cosgrad.numpy, scipy,"),
        (["--html", "no/such/folder/page.html"], "cannot write no/such/folder/page.html: no such directory"),
    ],
)
def test_exit_2_with_one_clear_error(arguments, message):
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}
    )
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not done.stdout


def test_the_command_writes_what_it_shows(tmp_path, monkeypatch):
    fake(
        tmp_path,
        monkeypatch,
        numkong="import nothing_of_that_name",
        simsimd="import os; os.kill(os.getpid(), 11)",
    )
    paths = tmp_path / "bench.json", tmp_path / "bench.html"
    arguments = ["--quick", "--rivals", "numkong,simsimd", "--json", str(paths[0]), "--html", str(paths[1])]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    content, page = json.loads(paths[0].read_text()), paths[1].read_text()
    ours, *others = content["libraries"]
    assert set(ours["figures"]) <= set(KINDS)
    assert [each["status"] for each in others] == ["missing", "failed"]
    for each in others:
        assert each["why"].replace("'", "") in " ".join(done.stdout.split()).replace("'", "")
        assert each["why"] in page

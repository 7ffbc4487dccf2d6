"""Tests of the command line from outside: exit codes, files, hangs, crashes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from cosgrad.verify import adapters
from cosgrad.verify.command import Options, run

HERE = Path(__file__).parent
# Like the installed script, this command does not put the current directory on the path.
COMMAND = [sys.executable, "-P", "-c", "from cosgrad.cli import main; main()"]


def cosgrad(*arguments, cwd=HERE, columns=80, **variables):
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb", **variables}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    paths = folder / "rows.json", folder / "page.html"
    done = cosgrad(
        *("verify", "--target", "targets:right_numpy", "--framework", "numpy"),
        *("--json", str(paths[0]), "--html", str(paths[1])),
    )
    return done, *paths


def test_hazards_do_not_fail(plain):
    done, _, _ = plain
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("success!")
    assert "hazard" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_has_every_row(plain):
    done, path, _ = plain
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["success"] is True
    assert content["seed"] == 0
    rows = {row["check"]: row for row in content["rows"]}
    assert rows["value"]["verdict"] == "pass"
    assert rows["value"]["ulp"] > 0
    assert rows["zero vectors"]["verdict"] == "hazard"
    assert rows["gradients"]["verdict"] == "skipped"
    for name in rows:
        assert name in done.stdout


def test_html_stands_alone(plain):
    text = plain[2].read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "zero vectors" in text
    assert "a similarity of numpy rows" in text
    assert text.count("<tr>") > 20
    assert "http" not in text


def test_strict_counts_hazards():
    done = cosgrad("verify", "--target", "targets:right_numpy", "--framework", "numpy", "--strict")
    assert done.returncode == 1
    assert done.stdout.rstrip().splitlines()[-1].startswith("failure")


def test_a_fail_is_exit_1():
    done = cosgrad("verify", "--target", "targets:absolute_numpy", "--framework", "numpy")
    assert done.returncode == 1
    assert "the sign of <x, y> is lost" in " ".join(done.stdout.split())
    assert not done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "no_such_module:f", "--framework", "numpy"], "cannot import no_such_module"),
        (
            ["--target", "targets:hangs", "--framework", "numpy", "--timeout", "4"],
            "hangs: no call returned for 4 s",
        ),
        (["--target", "targets:crashes", "--framework", "numpy"], "was killed by SIGSEGV in the first call"),
        (
            ["--target", "targets:exits", "--framework", "numpy"],
            "ended the process (exit 0) in the first call",
        ),
        (["--target", "targets:added_eps", "--framework", "numpy"], "raises on a plain call"),
        (["--framework", "fortran", "--target", "a:b"], "unknown framework 'fortran'"),
        (
            ["--framework", "torch"],
            "--framework torch belongs to a --target: choose frontends with --frameworks",
        ),
        (
            ["--frameworks", "numpy,fortran"],
            "--frameworks numpy,fortran: unknown framework 'fortran': verify knows numpy, torch, jax,",
        ),
        (
            ["--frameworks", "numpy", "--target", "a:b"],
            "--frameworks numpy chooses this package's own frontends",
        ),
        (["--json", "no/such/folder/rows.json"], "cannot write no/such/folder/rows.json"),
    ],
)
def test_exit_2_with_one_clear_error(arguments, message):
    done = cosgrad("verify", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not done.stdout


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_a_missing_framework_names_its_extra(framework, monkeypatch, capsys):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    assert run(Options(frameworks=framework)) == 2
    said = capsys.readouterr().err
    assert f'{framework} is not installed: pip install "cosgrad[{framework}]"' in said


def test_all_frontends_are_those_that_are_installed(monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None if name == "torch" else name)
    assert adapters.installed() == ["numpy", "jax", "tensorflow"]


@pytest.mark.parametrize(
    ("framework", "source", "message"),
    [
        ("jax", "__version__ = '0.1.2'", "needs JAX 0.8 or newer, and 0.1.2 is installed"),
        (
            "jax",
            "raise ImportError('no XLA here')",
            "cosgrad.jax cannot be imported: ImportError: no XLA here",
        ),
        ("tensorflow", "__version__ = '1.15'", "needs TensorFlow 2.16 or newer, and 1.15 is installed"),
    ],
)
def test_an_old_or_broken_framework_is_one_failed_line(framework, source, message, tmp_path):
    (tmp_path / f"{framework}.py").write_text(source + "\n")
    done = cosgrad("verify", "--frameworks", framework, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert message in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1] == "failure  1 failed"


def test_the_current_directory_is_importable(tmp_path):
    (tmp_path / "mine.py").write_text("def f(x, y):\n    raise SystemExit('from mine')\n")
    done = cosgrad("verify", "--target", "mine:f", "--framework", "numpy", cwd=tmp_path)
    assert done.returncode == 2
    assert "SystemExit: from mine" in done.stderr


def test_a_file_called_numpy_does_no_harm(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')\n")
    (tmp_path / "mine.py").write_text(
        "import numpy\ndef f(x, y):\n    return numpy.sum(x * y, -1)[:, None]\n"
    )
    done = cosgrad("verify", "--target", "mine:f", "--framework", "numpy", cwd=tmp_path)
    assert "it keeps the reduced axis" in done.stderr


def test_ctrl_c_leaves_no_traceback_and_no_child():
    # A shell that starts the tests in the background makes them ignore SIGINT, which Ctrl-C sends.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    child = subprocess.Popen(
        [
            *COMMAND[:-1],
            f"{listen}; {COMMAND[-1]}",
            "verify",
            "--target",
            "targets:hangs",
            "--framework",
            "numpy",
        ],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before = _children(child.pid)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in out + err
    assert before
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)


def _children(pid):
    """Return the child processes of a process, once there are any."""
    if not Path("/proc").exists():
        pytest.skip("needs /proc")
    for _ in range(600):
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return children
        time.sleep(0.1)
    return []


def test_a_child_does_not_outlive_its_parent():
    child = subprocess.Popen(
        [*COMMAND, "verify", "--target", "targets:hangs", "--framework", "numpy"],
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    orphans = _children(child.pid)
    assert orphans
    child.kill()
    child.wait()
    for _ in range(50):
        if not any(_runs(pid) for pid in orphans):
            return
        time.sleep(0.1)
    pytest.fail(f"{orphans} still run")


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_version_and_help():
    assert cosgrad("--version").stdout == f"cosgrad {version('cosgrad')}\n"
    shown = cosgrad("verify", "--help").stdout
    for option in (
        "--target",
        "--framework",
        "--frameworks",
        "--quantity",
        "--signature",
        "--strict",
        "--json",
        "--html",
        "--timeout",
    ):
        assert option in shown


def test_help_imports_nothing_heavy():
    heavy = "[m for m in ('torch', 'numpy', 'mpmath') if m in sys.modules]"
    code = f"import sys; from cosgrad.cli import app; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_numpy_frontend():
    done = cosgrad("verify", "--frameworks", "numpy")
    assert done.returncode == 0, done.stdout
    text = done.stdout
    assert "0.4444444" in text
    assert "0.0771687" in text
    assert text.rstrip().splitlines()[-1].startswith("success!")
    assert "float64" in text
    assert "float16" in text

"""Tests of every adapter for another library, in the process that the benchmark starts for it."""

import os

import numpy as np
import pytest

from cosgrad.bench.accuracy import truth
from cosgrad.bench.rivals import LIBRARIES
from cosgrad.bench.worker import FailedError, Worker
from cosgrad.verify.inputs import at_angles

ROUNDING = 1e-5
"""float32 sums of 16 products, roots and quotients, where nothing cancels and D is of the size of 1."""


@pytest.fixture
def worker(request):
    made = Worker(request.param)
    yield made
    made.close()


everyone = pytest.mark.parametrize("worker", LIBRARIES, indirect=True)


def imported(worker: Worker) -> Worker:
    try:
        worker.answer()
    except FailedError as error:
        if not error.missing:
            raise
        pytest.skip(str(error))
    return worker


@everyone
def test_it_agrees_with_the_oracle_where_that_is_easy_and_does_its_work(worker, rng):
    library = imported(worker)
    norms = rng.uniform(0.5, 2, (2, 6)).tolist()
    x, y = (a.astype(np.float32) for a in at_angles(rng, 16, [0.7, 1.0, 1.2, 1.9, 2.4, 3.0], *norms))
    similarity, distance = (library.ask("values", q, x, y) for q in ("similarity", "distance"))
    np.testing.assert_allclose(similarity, truth(x, y, distance=False).floats, rtol=ROUNDING)
    np.testing.assert_allclose(distance, truth(x, y, distance=True).floats, rtol=ROUNDING)
    assert library.ask("prepare", "forward", 16, 8, 0)
    assert library.ask("sample") > 0
    assert library.ask("peak") >= 0
    differentiates = LIBRARIES[library.name].frontend != "numpy"
    assert library.ask("prepare", "loss", 16, 8, 0) is differentiates


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise ValueError('too old')", "ValueError: too old"),
        ("import os; os._exit(3)", "it ended its process (exit 3)"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("import time; time.sleep(60)", "it hangs: no answer for 5 s"),
    ],
)
def test_whatever_an_import_does_is_one_sentence(source, why, tmp_path, monkeypatch):
    (tmp_path / "simsimd.py").write_text(source + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    made = Worker("simsimd", timeout=5)
    try:
        with pytest.raises(FailedError) as caught:
            made.answer()
    finally:
        made.close()
    assert why in str(caught.value)
    assert caught.value.missing is ("No module" in why)
    assert made.process.returncode is not None

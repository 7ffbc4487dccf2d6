"""Tests of the native calls, of export, memory and threads.

There is one call per batch, and it computes only what is needed.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, grad, jvp, vmap
from jax_cases import matrices, same

import cosgrad.jax as C
import cosgrad.numpy as N

HANDLERS = ("cosgrad_forward", "cosgrad_backward", "cosgrad_jvp", "cosgrad_normalize")
ALLOWED = [export.DisabledSafetyCheck.custom_call(name) for name in HANDLERS]
LOSS = jax.value_and_grad(C.cosine_distance_loss, (0, 1))


def calls(f, *args):
    """Return how often the compiled program calls each handler, and its text with the flags of the calls."""
    text = jax.jit(f).lower(*args).compile().as_text()
    return Counter(re.findall(r'custom_call_target="cosgrad_(\w+)"', text)), text


@pytest.fixture
def pair(rng):
    return matrices(rng)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (vmap(C.cosine_similarity), {"forward": 1}),
        (vmap(vmap(C.cosine_similarity, (None, 0)), (0, None)), {"forward": 1}),
        (lambda x, y: vmap(C.normalize)(x), {"normalize": 1}),
        (vmap(grad(C.cosine_similarity, (0, 1))), {"backward": 1}),
        (vmap(vmap(grad(C.cosine_similarity, 1), (None, 0)), (0, None)), {"backward": 1}),
        (grad(lambda x, y: vmap(C.cosine_distance)(x, y).sum()), {"backward": 1}),
        (LOSS, {"forward": 1, "backward": 1}),
        (grad(C.cosine_distance_loss), {"backward": 1}),
        (grad(jax.checkpoint(C.cosine_distance_loss)), {"backward": 1}),
        (lambda x, y: jvp(C.cosine_similarity, (x, y), (y, x)), {"forward": 1, "jvp": 1}),
        (
            lambda x, y: vmap(lambda u: jvp(C.cosine_similarity, (x, y), (u, u))[1])(jnp.ones((3, 4, 5))),
            {"jvp": 1},
        ),
        (lambda x, y: vmap(jax.jacrev(C.normalize))(x), {"normalize": 1}),
        (lambda x, y: C.cosine_embedding_loss(x, y, -1), {"forward": 1}),
        (grad(lambda x, y: C.cosine_embedding_loss(x, y, -1)), {"forward": 1, "backward": 1}),
    ],
)
def test_calls(f, expected, pair):
    assert calls(f, *pair)[0] == expected


def test_only_the_gradient_that_is_asked_for(pair):
    _, one = calls(grad(C.cosine_distance_loss, 1), *pair)
    _, two = calls(grad(C.cosine_distance_loss, (0, 1)), *pair)
    assert ["need_x = false" in text for text in (one, two)] == [True, False]
    assert all("need_y = true" in text for text in (one, two))


def test_only_the_value_that_is_asked_for(pair):
    _, text = calls(C.cosine_distance, *pair)
    assert "similarity = false" in text


def test_nothing_is_copied_or_materialised():
    """Check that the program stores no broadcast operand, no residuals and no unused forward value."""
    wide, shared = jax.ShapeDtypeStruct((4096, 256), jnp.float32), jax.ShapeDtypeStruct((256,), jnp.float32)
    for f, size in ((LOSS, 2 * wide.size), (grad(C.cosine_distance_loss, 1), wide.size)):
        memory = jax.jit(f).lower(wide, wide).compile().memory_analysis()
        assert memory.output_size_in_bytes <= 4 * size + 4096
        assert memory.temp_size_in_bytes <= 4 * 2 * 4096 + 4096  # D and its cotangent
    memory = (
        jax.jit(vmap(grad(C.cosine_similarity), (0, None))).lower(wide, shared).compile().memory_analysis()
    )
    assert memory.temp_size_in_bytes <= 4 * 4096 + 4096


def test_donated_arrays(rng):
    x = rng.standard_normal((64, 33))
    unit = jax.jit(lambda x: C.normalize(x), donate_argnums=0)(jnp.asarray(x))
    same(unit, N.normalize(x))
    step = jax.jit(lambda x, y: x - grad(C.cosine_distance_loss)(x, y), donate_argnums=0)
    same(
        step(jnp.asarray(x), x[::-1]),
        jax.jit(lambda x, y: x - grad(C.cosine_distance_loss)(x, y))(x, x[::-1]),
    )


def test_an_eager_loop_compiles_once(pair):
    x, y = pair

    def step(x):
        _, g = jax.value_and_grad(C.cosine_distance_loss)(x, y)
        h = jvp(grad(lambda x: C.cosine_distance(x, y, eps=0.25).sum()), (x,), (g,))[1]
        return x - g - h

    def compilations(f):
        seen = []

        def listen(name, *_, **__):
            seen.append(name)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            f()
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        return [name for name in seen if "compile" in name]

    x = step(step(x))
    assert compilations(lambda: step(step(x))) == []
    assert compilations(lambda: jax.jit(lambda t: t * 3 + 1)(x)) != []


@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm"])
@pytest.mark.parametrize(
    ("f", "native"),
    [(LOSS, True), (jax.hessian(C.cosine_distance_loss), False), (vmap(grad(C.cosine_similarity)), True)],
)
def test_export_to_other_platforms_has_no_native_call(f, native, platform, pair):
    def called(platform):
        exported = export.export(jax.jit(f), platforms=[platform], disabled_checks=ALLOWED)
        text = re.sub(r"loc\(.*\)", "", exported(*pair).mlir_module())
        return "cosgrad_" in re.sub(r"@(?!cosgrad_)\w+", "", text), "custom_call" in text

    assert called(platform) == (False, False)
    assert called("cpu") == (native, native)


def test_export_to_several_platforms(pair):
    exported = export.export(jax.jit(LOSS), platforms=["cpu", "tpu"], disabled_checks=ALLOWED)(*pair)
    same(exported.call(*pair), jax.jit(LOSS)(*pair))


def test_export_to_the_cpu_asks_for_permission(pair):
    with pytest.raises(ValueError, match="custom calls whose targets have no compatibility guarantees"):
        export.export(jax.jit(LOSS))(*pair)


def test_exported_for_batches_of_any_size_and_loaded_in_a_new_process(tmp_path, pair):
    rows = jax.ShapeDtypeStruct(export.symbolic_shape("b, 5"), jnp.float64)
    exported = export.export(jax.jit(LOSS), disabled_checks=ALLOWED)(rows, rows)
    (tmp_path / "loss").write_bytes(exported.serialize())
    np.savez(tmp_path / "pair.npz", *pair)
    code = """if True:
        import sys, jax, numpy as np, cosgrad.jax
        jax.config.update("jax_enable_x64", True)
        loss = jax.export.deserialize(open(sys.argv[1] + "/loss", "rb").read())
        value, (gx, gy) = loss.call(*np.load(sys.argv[1] + "/pair.npz").values())
        np.savez(sys.argv[1] + "/got.npz", value, gx, gy)
    """
    code = code.replace("import sys, jax,", "import sys, jax.export,")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    same(list(np.load(tmp_path / "got.npz").values()), jax.jit(LOSS)(*pair))


def test_calls_from_many_threads(rng):
    x, y = rng.standard_normal((2, 2048, 256)).astype(np.float32)
    g = np.full(2048, np.float32(-1 / 2048))
    expected = N.cosine_similarity_grad(x, y, g)
    f = jax.jit(LOSS)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: f(x, y)[1], range(64)))
    same(got, [expected] * 64)


PROGRAM = """if True:
    import hashlib, jax, numpy as np, cosgrad.jax as C
    x, y = np.random.default_rng(1).standard_normal((2, 4096, 300)).astype(np.float32)
    S, back = jax.vjp(jax.jit(C.cosine_similarity), x, y[:1])
    print(hashlib.sha256(b"".join(np.asarray(t).tobytes() for t in (S, *back(S)))).hexdigest())
"""


def test_threads_change_no_bit():
    """Check that neither the bits nor the end of a call depend on the number of threads.

    The cases are one processor, no thread pool, and fewer threads than XLA has.
    """
    one = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    confine = f"import os; hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {{{one}}})\n"
    runs = [
        ({}, PROGRAM),
        ({}, confine + PROGRAM),
        ({"COSGRAD_NUM_THREADS": "1"}, PROGRAM),
        ({"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}, PROGRAM),
    ]
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda run: digest(*run), runs))
    assert len(digests[0]) == 64
    assert digests == digests[:1] * len(runs)


def digest(environment, program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


def test_a_bad_number_of_threads_is_an_error(monkeypatch, rng):
    monkeypatch.setenv("COSGRAD_NUM_THREADS", "0")
    x = rng.standard_normal((4096, 300))
    with pytest.raises(
        (ValueError, jax.errors.JaxRuntimeError), match="COSGRAD_NUM_THREADS=0 is not a positive"
    ):
        C.cosine_similarity(x, x).block_until_ready()


def test_a_jax_with_an_older_interface_is_named_at_import():
    program = (
        "import cosgrad._native as n; n.xla_interface = (0, 99)\n"
        "try:\n"
        "    import cosgrad.jax\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cosgrad.jax was compiled for version 0.99 of XLA's interface, and JAX" in run.stdout
    assert "upgrade JAX, or install cosgrad from its sources" in run.stdout

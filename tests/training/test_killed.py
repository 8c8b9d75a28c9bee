"""A run that is killed goes on from its checkpoint, and compiles as before."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyro_vae.training import load
from tests.training.small import same, weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]
ROOT = Path(__file__).resolve().parents[2]
RUN = """
import json, os, signal, sys
from pathlib import Path
import torch._inductor
from pyro_vae.training import checkpoint, fit, save
from tests.training.small import X, small, without_clock

compile_graph, graphs = torch._inductor.compile, []
torch._inductor.compile = lambda *a, **k: graphs.append(a) or compile_graph(*a, **k)
checkpoint.SECONDS = 0.0

def run(home, how, kind):
    def schedule(done):
        if kind == "killed" and done > 0.6:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    vae = small()
    options = dict(epochs=8, batch_size=16, validation=4, ema_decay=0.9, kl_warmup_epochs=4)
    options["compile"] = how
    run = fit(vae, X, schedule=schedule, checkpoint=home / "unfinished", **options)
    save(vae, home / "model")
    (home / "history.json").write_text(json.dumps(without_clock(run.history)))
    print(len(graphs), flush=True)
    os._exit(0)

for name, how, kind in json.loads(sys.argv[1]):
    home = Path(name)
    home.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            run(home, how, kind)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print(json.dumps([status, os.listdir(home)]), flush=True)
"""
"""Each run in a process of its own, forked from one that has done nothing but its imports."""


def run(cache, *runs):
    """The number of graphs that each run compiled, or its exit status and the files it left."""
    done = subprocess.run(
        [sys.executable, "-W", "error:fit", "-c", RUN, json.dumps(runs, default=str)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(runs), done.stderr[-2000:]
    return found


def left(home):
    """The history, and the weights."""
    return json.loads((home / "history.json").read_text()), weights(
        load(home / "model")
    )


GRAPHS = {"off": 0, "step": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the runs in one piece, and the compiler's cache, which was empty."""
    folder = tmp_path_factory.mktemp("whole")
    runs = [(folder / how, how, "whole") for how in GRAPHS]
    assert run(folder / "cache", *runs) == [*GRAPHS.values()]
    return folder


@pytest.mark.parametrize("how", GRAPHS)
def test_a_killed_and_resumed_run_compiles_again_and_continues_alike(
    how, whole, tmp_path
):
    """Bit for bit without a compiler; with one, the first step after the kill is eager."""
    broken = tmp_path / "broken"
    killed, resumed = run(
        whole / "cache", (broken, how, "killed"), (broken, how, "resumed")
    )
    assert killed == [-signal.SIGKILL, ["unfinished"]]
    assert resumed == GRAPHS[how]
    (history, one), (again, other) = left(whole / how), left(broken)
    if how == "off":
        assert history == again
        assert same(one, other)
    for ours, theirs in zip(history, again, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6)


def test_half_a_library_is_built_again(whole, tmp_path):
    """As a killed compiler leaves it; otherwise all later runs would fail to load it."""
    libraries = sorted((whole / "cache").glob("**/*.main.so"))
    for library in libraries:
        library.write_bytes(b"")
    second = tmp_path / "second"
    assert run(whole / "cache", (second, "step", "whole")) == [1 + len(libraries)]
    assert libraries
    assert all(library.stat().st_size for library in libraries)
    assert left(whole / "step")[0] == left(second)[0]

"""A run that is killed: what was saved before goes on as if nothing had happened, and compiles as before."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyro_vae.training import load
from tests.training.small import same, weights

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")]
ROOT = Path(__file__).resolve().parents[2]
LEGS, KILLED = 3, 1
RUN = f"""
import json, os, signal, sys
from pathlib import Path
import torch._inductor
from pyro_vae.training import fit, load, save
from tests.training.small import X, small, without_clock

home, how, killed = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "killed"
compile_graph, graphs = torch._inductor.compile, []
torch._inductor.compile = lambda *a, **k: graphs.append(a) or compile_graph(*a, **k)

def steady(done):
    return 1.0

def deadly(done):
    if done > 0.6:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0

saved = [leg for leg in range({LEGS}) if (home / str(leg)).exists()]
vae = load(home / str(saved[-1])) if saved else small()
for leg in range(len(saved), {LEGS}):
    schedule = deadly if killed and leg == {KILLED} else steady
    run = fit(vae, X, epochs=4, batch_size=16, validation=4, average=0.9, seed=leg, compile=how, schedule=schedule)
    save(vae, home / str(leg))
    (home / f"{{leg}}.json").write_text(json.dumps(without_clock(run.history)))
print(len(graphs))
"""
"""Legs of a run, each from the last one that was saved; the number of graphs that were compiled."""


def run(home, how, kind, cache):
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-W", "error:fit", "-c", RUN, str(home), how, kind],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )


def graphs(done):
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


def legs(home):
    """The history of each leg and its weights."""
    numbers = [json.loads((home / f"{leg}.json").read_text()) for leg in range(LEGS)]
    return numbers, [weights(load(home / str(leg))) for leg in range(LEGS)]


@pytest.mark.parametrize("how", ["off", "step"])
def test_a_killed_and_resumed_run_compiles_again_and_continues_alike(how, tmp_path):
    whole, broken, cache = tmp_path / "whole", tmp_path / "broken", tmp_path / "cache"
    expected = {"off": 0, "step": 1}[how]
    assert graphs(run(whole, how, "whole", cache)) == LEGS * expected
    assert run(broken, how, "killed", cache).returncode == -signal.SIGKILL
    assert sorted(path.name for path in broken.iterdir()) == ["0", "0.json"]
    assert graphs(run(broken, how, "resumed", cache)) == (LEGS - KILLED) * expected
    (history, states), (again, theirs) = legs(whole), legs(broken)
    assert history == again
    assert all(same(one, other) for one, other in zip(states, theirs, strict=True))
    assert not same(states[KILLED - 1], states[-1])


def test_half_a_library_is_built_again(tmp_path):
    """As a compiler leaves it that is killed; otherwise no later run could load it, and all would make slower steps."""
    cache = tmp_path / "cache"
    graphs(run(tmp_path / "first", "step", "whole", cache))
    libraries = sorted(cache.glob("**/*.main.so"))
    for library in libraries:
        library.write_bytes(b"")
    assert graphs(run(tmp_path / "second", "step", "whole", cache)) == LEGS + len(libraries)
    assert libraries
    assert all(library.stat().st_size for library in libraries)
    assert legs(tmp_path / "first")[0] == legs(tmp_path / "second")[0]

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

home, how, killed = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "killed"
compile_graph, graphs = torch._inductor.compile, []
torch._inductor.compile = lambda *a, **k: graphs.append(a) or compile_graph(*a, **k)
checkpoint.SECONDS = 0.0

def schedule(done):
    if killed and done > 0.6:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0

vae = small()
options = dict(epochs=8, batch_size=16, validation=4, ema_decay=0.9, kl_warmup_epochs=4)
options["compile"] = how
run = fit(vae, X, schedule=schedule, checkpoint=home / "unfinished", **options)
save(vae, home / "model")
(home / "history.json").write_text(json.dumps(without_clock(run.history)))
print(len(graphs))
"""


def run(home, how, kind, cache):
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-W", "error:fit", "-c", RUN, str(home), how, kind],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
        },
        capture_output=True,
        text=True,
    )


def graphs(done):
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


def left(home):
    """The history, and the weights."""
    return json.loads((home / "history.json").read_text()), weights(
        load(home / "model")
    )


@pytest.mark.parametrize("how", ["off", "step"])
def test_a_killed_and_resumed_run_compiles_again_and_continues_alike(how, tmp_path):
    """Bit for bit without a compiler; with one, the first step after the kill is eager."""
    whole, broken, cache = tmp_path / "whole", tmp_path / "broken", tmp_path / "cache"
    expected = {"off": 0, "step": 1}[how]
    assert graphs(run(whole, how, "whole", cache)) == expected
    assert run(broken, how, "killed", cache).returncode == -signal.SIGKILL
    assert [path.name for path in broken.iterdir()] == ["unfinished"]
    assert graphs(run(broken, how, "resumed", cache)) == expected
    (history, one), (again, other) = left(whole), left(broken)
    if how == "off":
        assert history == again
        assert same(one, other)
    for ours, theirs in zip(history, again, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6)


def test_half_a_library_is_built_again(tmp_path):
    """As a killed compiler leaves it; otherwise all later runs would fail to load it."""
    cache = tmp_path / "cache"
    graphs(run(tmp_path / "first", "step", "whole", cache))
    libraries = sorted(cache.glob("**/*.main.so"))
    for library in libraries:
        library.write_bytes(b"")
    assert graphs(run(tmp_path / "second", "step", "whole", cache)) == 1 + len(
        libraries
    )
    assert libraries
    assert all(library.stat().st_size for library in libraries)
    assert left(tmp_path / "first")[0] == left(tmp_path / "second")[0]

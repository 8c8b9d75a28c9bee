"""What the library does in a process, and in several, beside its results: nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, program
from tests.process_state import ACTIONS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
COMPILED = [name for name in ACTIONS if name.startswith("compiled")]
EAGER = [name for name in ACTIONS if name not in COMPILED]
FIT = """
import multiprocessing, sys, warnings
import numpy as np
import torch
import pyro_vae as pv

warnings.simplefilter("ignore")
x = np.random.default_rng(0).normal(size=(4000, 50)).astype("float32")


def fitted(seed):
    torch.set_num_threads(1)
    vae = pv.VAE(data_shape=(50,), latent_dim=2, hidden_dims=(64,), seed=seed)
    run = pv.fit(vae, x, epochs=1, batch_size=1000, seed=seed, progress=False)
    found = pv.evidence(vae, x[:20], num_particles=50, progress=False)
    return run.history[0]["loss"], found.log_marginal.tolist()


def by(kind):
    if kind in ("loky", "threading"):
        from joblib import Parallel, delayed

        return Parallel(n_jobs=2, backend=kind)(delayed(fitted)(one) for one in (0, 1))
    with multiprocessing.get_context(kind).Pool(2) as pool:
        return pool.map(fitted, (0, 1))


if __name__ == "__main__":
    assert by(sys.argv[1]) == [fitted(0), fitted(1)]
"""
AFTER_A_FORK = """
import multiprocessing
import torch
import pyro_vae as pv

torch.set_num_threads(2)
x = torch.randn(2000, 200)
torch.ones(2000, 2000) @ torch.ones(2000, 2000)  # by two threads


def fitted(pipe):
    vae = pv.VAE(data_shape=(200,), latent_dim=2, hidden_dims=(512,))
    run = pv.fit(vae, x, epochs=1, batch_size=1000, progress=False)
    pipe.send((len(run.history), torch.get_num_threads()))


here, there = multiprocessing.Pipe()
fork = multiprocessing.get_context("fork")
child = fork.Process(target=fitted, args=(there,), daemon=True)
child.start()
assert here.poll(60)
assert here.recv() == (1, 2)
child.join()
"""
LATER = """
import multiprocessing
import numpy as np
import pyro_vae as pv

x = np.zeros((60, 3), "float32")
pv.fit(pv.VAE(data_shape=(3,), latent_dim=1), x, epochs=1, progress=True)
multiprocessing.set_start_method("spawn")
assert multiprocessing.get_start_method() == "spawn"
"""


def python(*arguments: str, threads: int = 1) -> str:
    """The output of a Python program of its own, which ends within two minutes."""
    names = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=os.environ | names,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("names", "known"), [(EAGER, set()), (COMPILED, {"the path of modules"})]
)
def test_nothing_of_the_process_changes(names: list[str], known: set[str]) -> None:
    """But for the folder that setuptools adds to the path, for torch's compiler."""
    last = python("-m", "tests.process_state", *names).splitlines()[-1]
    found: dict[str, Any] = json.loads(last)
    assert found["items"] > 70
    assert list(found["changed"]) == names
    for name, items in found["changed"].items():
        assert set(items) <= known, (name, items)


@pytest.mark.parametrize("kind", ["spawn", "fork", "forkserver", "loky", "threading"])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_processes_and_threads_have_the_numbers_of_one(
    kind: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(FIT)
    python(str(program), kind)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_has_not() -> None:
    python("-c", AFTER_A_FORK, threads=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_page_on_threads_and_processes_is_so(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text(program(DOCS / "threads.md"))
    python(str(page))


def test_the_start_method_may_be_set_later() -> None:
    python("-c", LATER)

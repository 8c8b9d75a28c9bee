"""Two runs into one folder, in processes of their own: the second is refused; one may be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import Done, pyro_vae, write_data

ROOT = Path(__file__).parents[2]
FIT = (
    "fit",
    "normal.npy",
    "--set",
    "latent_dim=2",
    "--set",
    "evaluate.num_particles=20",
)
LONG = ("--set", "fit.epochs=1000000")
SHORT = ("--set", "fit.epochs=2")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_that_starts_during_another_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is started from within the first one's evaluation, and costs that nothing."""
    from pyro_vae.experiment import run

    evaluate = run.evaluate
    refused: list[Done] = []

    def second(*args: object, **kwargs: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(run, "evaluate", evaluate)
            ways = ((), ("--overwrite",), ("--resume",))
            refused.extend(pyro_vae(*FIT, *SHORT, *more) for more in ways)
        return evaluate(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "evaluate", second)
    assert pyro_vae(*FIT, *SHORT).status == 0
    assert len(refused) == 3
    for done in refused:
        assert done.status == 2
        assert done.err.startswith(
            "pyro-vae: runs/normal: another run writes to it (process "
        )
    assert Path("runs/normal/metrics.json").exists()
    assert {path.name for path in Path("runs").iterdir()} == {"normal"}


@contextmanager
def running() -> Iterator["subprocess.Popen[bytes]"]:
    """A long run in a process of its own, which has begun."""
    command = [sys.executable, "-m", "pyro_vae", *FIT, *LONG]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, env=env, stdout=nowhere, stderr=nowhere) as process:
        try:
            while not Path("runs/normal/run.lock").exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_run_that_was_killed_is_replaced() -> None:
    with running() as process:
        refused = pyro_vae(*FIT, *SHORT)
        assert refused.status == 2
        assert f"another run writes to it (process {process.pid} on " in refused.err
    assert Path("runs/normal/run.lock").exists()
    done = pyro_vae(*FIT, *SHORT, "--overwrite")
    assert done.status == 0
    assert f"runs/normal: the run of process {process.pid} on " in done.out
    assert {path.name for path in Path("runs").iterdir()} == {"normal"}
    assert np.load("runs/normal/rows.npz")["fitted"].shape == (48,)

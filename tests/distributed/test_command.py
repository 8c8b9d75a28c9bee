"""The command under torchrun: one run folder, one text, one message where something is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import QUICK, pyro_vae, write_data
from tests.distributed.worker import ROOT, TWO, environment, torchrun

pytestmark = pytest.mark.slow
COMMAND = ("-m", "pyro_vae")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def fitted(home):
    return torchrun(*COMMAND, "fit", *QUICK, "--set", "hidden_dims=[32]", cwd=home)


def test_fit_writes_one_run_and_prints_once(fitted, home):
    assert fitted.returncode == 0, fitted.stderr
    assert "pyro-vae:" not in fitted.stderr
    assert fitted.stdout.count("trained 2 epochs") == 1
    assert fitted.stdout.count("held-out log p(x)") == 1
    assert "digits" in os.listdir(home / "runs")
    assert {"model.safetensors", "metrics.json", "posterior.nc"} <= set(
        os.listdir(home / "runs/digits")
    )
    history = np.genfromtxt(home / "runs/digits/history.csv", delimiter=",", names=True)
    assert history["elbo"][1] > history["elbo"][0]


def test_evaluate_is_that_of_one_process(fitted, home, monkeypatch):
    shared = torchrun(
        *COMMAND, "evaluate", "runs/digits", "--json", "--output", "two.csv", cwd=home
    )
    assert shared.returncode == 0, shared.stderr
    monkeypatch.chdir(home)
    alone = pyro_vae("evaluate", "runs/digits", "--json", "--output", "one.csv")
    metrics, expected = json.loads(shared.stdout)["metrics"], alone.json["metrics"]
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name] == (
            pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
        ), name
    one, two = (
        np.genfromtxt(f"{name}.csv", delimiter=",", names=True)
        for name in ("one", "two")
    )
    np.testing.assert_allclose(two["log_marginal"], one["log_marginal"], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "broken.npy"), "expected finite numbers"),
        (("fit", "normal.npy", "--set", "fit.epoch=3"), "fit.epoch"),
        (("fit", "--no-such-option"), "unrecognized arguments"),
        (("evaluate", "nowhere"), "holds no saved model"),
    ],
)
def test_bad_input_is_said_once(home, arguments, message):
    done = torchrun(*COMMAND, *arguments, cwd=home)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count(message) == 1, done.stderr
    assert "exitcode  : 2" in done.stderr


def test_other_subcommands_are_done_by_the_first(fitted, home):
    done = torchrun(
        *COMMAND,
        "sample",
        "runs/digits",
        "-n",
        "5",
        "--output",
        "samples.npz",
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("samples.npz") == 1


def test_the_program_of_the_page_runs(home):
    page = (ROOT / "docs" / "several_processes.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (home / "program.py").write_text(program, encoding="utf-8")
    done = torchrun("program.py", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nats per row") == 2  # log p(x) and the ELBO
    assert (home / "runs/several/model.safetensors").exists()


def test_an_interrupt_ends_with_a_run(home: Path):
    """torchrun passes Ctrl-C on to its processes, which stop together, evaluate and write."""
    eager = ("--set", "fit.epochs=100000", "--set", "fit.compile=off")
    many = ("fit", "spec.toml", *eager, "--output", "stopped")
    command = subprocess.Popen(
        [sys.executable, *TWO, *COMMAND, *many],
        cwd=home,
        env=environment(),
        stdout=-1,
        stderr=-1,
        text=True,
    )
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith("  q(z | x)"):  # the heading ends, training begins
            break
    time.sleep(5)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=120)
    assert command.returncode != 0
    assert err.count("fit: interrupted after") == 1, err
    assert out.count("trained") == 1, err
    assert (home / "stopped/metrics.json").exists()

"""The benchmark of speed compares the same nets and the same loss, and prints its tables."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch

from benchmarks.speed.by_hand import HandWritten
from benchmarks.speed.clock import ratio
from benchmarks.speed.sizes import PLAIN, SIZES
from benchmarks.speed.with_pyro import Tutorial, own_parameters

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SIZES)
def test_by_hand_it_is_our_loss(name: str) -> None:
    size = SIZES[name]
    vae, by_hand, x = size.vae(), HandWritten(size), size.rows()[:20]
    ours = [*vae.guide.parameters(), *vae.model.parameters()]
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), ours, strict=True)))
    torch.manual_seed(0)
    loss = PLAIN(vae.model, vae.guide, x).loss.mean()
    torch.manual_seed(0)
    torch.testing.assert_close(by_hand(x), loss)


def test_the_tutorial_has_the_same_nets() -> None:
    size = SIZES["S"]
    shapes = [weight.shape for weight in HandWritten(size).parameters()]
    assert [weight.shape for weight in Tutorial(size).parameters()] == shapes


def test_contestants_keep_their_parameters_apart() -> None:
    first, second = dict[str, Any](), dict[str, Any]()
    for state, value in ((first, 1.0), (second, 2.0), (first, 3.0)):
        with own_parameters(state):
            pyro.param("a", torch.tensor(value))
    assert [state["params"]["a"].item() for state in (first, second)] == [1, 2]
    assert not list(pyro.get_param_store())


def test_a_ratio_compares_within_rounds() -> None:
    assert ratio([1.0, 20.0, 300.0], [1.0, 10.0, 100.0]) == (1, 2, 3)


@pytest.mark.slow
def test_the_tables_are_printed(tmp_path: Path) -> None:
    options = ["--tables", "steps", "--sizes", "S", "--rounds", "2", "--peers"]
    command = [sys.executable, "-m", "benchmarks.speed", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ("hand-written, eager", "Pyro, SVI", "ours, compiled", "floor"):
        assert f"\n{name} " in done.stdout

"""`pyro-vae kinds`: every kind of every room, in a line each, at once."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pyro_vae.analysis import PROPOSALS
from pyro_vae.cli.kinds import ROOMS, summary
from pyro_vae.guides import GUIDES
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import NETWORKS
from pyro_vae.objectives import OBJECTIVES
from pyro_vae.priors import PRIORS
from pyro_vae.training.options import OPTIMIZERS, SCHEDULES
from tests.cli.command import pyro_vae

ROOT = Path(__file__).parents[2]
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "priors": PRIORS,
    "likelihoods": LIKELIHOODS,
    "guides": GUIDES,
    "networks": NETWORKS,
    "objectives": OBJECTIVES,
    "proposals": PROPOSALS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
}


def listed(text: str) -> dict[str, dict[str, str]]:
    """Room, kind and sentence, from what the command printed."""
    rooms = [part.splitlines() for part in text.strip().split("\n\n")]
    return {
        name: dict(line.split(maxsplit=1) for line in lines) for name, *lines in rooms
    }


def test_every_kind_of_every_room_has_a_line() -> None:
    """What is listed is what is registered, with the first sentence of its docstring."""
    found = listed(pyro_vae("kinds").out)
    assert list(found) == list(REGISTRIES) == list(ROOMS)
    for name, registry in REGISTRIES.items():
        assert list(found[name]) == sorted(registry)
        for kind, sentence in found[name].items():
            assert " ".join((registry[kind].__doc__ or "").split()).startswith(sentence)
            assert sentence.endswith(".")


@pytest.mark.parametrize("room", ROOMS)
def test_one_room(room: str) -> None:
    assert list(listed(pyro_vae("kinds", room).out)) == [room]


def test_the_sentences_stand_in_one_column() -> None:
    lines = [
        line for line in pyro_vae("kinds").out.splitlines() if line.startswith("  ")
    ]
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1


def test_json_has_the_options_and_their_defaults() -> None:
    rooms = pyro_vae("kinds", "--json").json
    assert {room: list(kinds) for room, kinds in rooms.items()} == {
        r: sorted(REGISTRIES[r]) for r in ROOMS
    }
    assert rooms["priors"]["vamp"]["defaults"] == {"pseudo_inputs": 500}
    assert rooms["likelihoods"]["binomial"]["required"] == ["total_count"]
    assert rooms["guides"]["semi_amortized"]["defaults"]["base"] == "mean_field"
    assert rooms["objectives"]["iwae"]["summary"].startswith(
        "The importance weighted bound"
    )
    assert rooms["optimizers"]["adam"]["defaults"]["betas"] == [0.9, 0.999]
    assert rooms["optimizers"]["adam"]["required"] == []
    assert rooms["proposals"]["defensive"]["defaults"]


def test_another_room_is_refused() -> None:
    done = pyro_vae("kinds", "frob")
    assert done.status == 2
    assert "invalid choice: 'frob'" in done.err


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`pyro-vae kinds | head -1`: nothing is said, and the status is that of a closed pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pyro_vae", "kinds"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", "One."),
        ("T = a ∘ ... ∘ b of\n    x. Two.", "T = a ∘ ... ∘ b of x."),
        ("x = 0.5.\n\nMore.", "x = 0.5."),
        ("No end", "No end"),
        (None, ""),
    ],
)
def test_the_first_sentence(text: str | None, expected: str) -> None:
    assert summary(text) == expected

"""The command `pyro-vae` inside this process, and small data for it."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.cli.main import main

QUICK = ("--set", "fit.epochs=2", "--set", "evaluate.num_particles=20")
SPEC = """
data = "normal.npy"
latent_dim = 2
hidden_dims = [8]
[fit]
epochs = 2
[evaluate]
num_particles = 20
"""


@dataclass(frozen=True)
class Done:
    """What one call of the command left: its exit status, and its stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(
            self.out, parse_constant=lambda name: json.loads(f"{name} is no JSON")
        )


def pyro_vae(*arguments: str | Path) -> Done:
    """Run the command with these arguments."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def write_data(folder: Path) -> None:
    """One small file of each sort, and `spec.toml`."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(60, 4))
    np.save(folder / "normal.npy", normal)
    np.save(folder / "bits.npy", rng.integers(0, 2, size=(60, 4)).astype(bool))
    np.save(folder / "grey.npy", rng.uniform(size=(60, 16)))
    np.savetxt(
        folder / "table.csv", normal, delimiter=",", header="a,b,c,d", comments=""
    )
    np.savez(
        folder / "splits.npz", train=normal[:40], valid=normal[40:53], test=normal[53:]
    )
    np.savez(folder / "several.npz", first=normal, second=normal[:5])
    broken = normal.copy()
    broken[53, 2] = np.nan
    np.save(folder / "broken.npy", broken)
    np.save(folder / "one.npy", normal[:1])
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }

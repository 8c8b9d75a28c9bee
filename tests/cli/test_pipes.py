"""A reader that goes away, as in `pyro-vae fit | head -2`: all files are written, status 141."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import pyro_vae as pv
from pyro_vae.cli.main import main
from pyro_vae.experiment import run_folder
from pyro_vae.saving import write_model
from tests.cli.command import write_data
from tests.cli.test_cli import MODEL, PICTURES, TABLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        run_folder, "save_figure", lambda figure, path: path.write_text("picture")
    )
    return tmp_path


@contextmanager
def no_reader(lines: int = 0) -> Iterator[Any]:
    """A stream whose reader goes away after a number of lines."""
    read, write = os.pipe()
    if not lines:
        os.close(read)
    with os.fdopen(write, "w") as stream:
        if lines:
            stream.write = _until(lines, stream.write, read)  # type: ignore[method-assign]
        yield stream


def _until(lines: int, write: Any, read: int) -> Any:
    left = [lines]

    def counted(text: str) -> int:
        if left[0] >= 0:
            left[0] -= text.count("\n")
            if left[0] <= 0:
                left[0] = -1
                os.close(read)
        written: int = write(text)
        return written

    return counted


def status(*arguments: str, lines: int = 0, errors_too: bool = False) -> int:
    """The exit status of the command where stdout, and perhaps stderr, loses its reader."""
    with no_reader(lines) as out, no_reader() as nowhere:
        err = nowhere if errors_too else sys.stderr
        with redirect_stdout(out), redirect_stderr(err):
            return main(list(arguments))


@pytest.mark.parametrize(("lines", "errors_too"), [(0, False), (2, False), (0, True)])
def test_fit_writes_everything(lines: int, errors_too: bool) -> None:
    assert status("fit", "spec.toml", lines=lines, errors_too=errors_too) == 141
    written = {path.name for path in Path("runs/normal").iterdir()}
    assert written == MODEL | TABLES | PICTURES - {"reconstructions.png"}


def test_the_other_commands_write_everything() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,))
    described = {"data": "normal.npy", "evaluate": {"num_particles": 20}}
    write_model(vae, "run", run=described)
    for command, name in (
        ("evaluate", "rows.csv"),
        ("sample", "x.npz"),
        ("encode", "z.npz"),
        ("reconstruct", "r.npy"),
    ):
        assert status(command, "run", "--output", name) == 141
        assert Path(name).stat().st_size
        assert status(command, "run", "--output", f"again-{name}", "--json") == 141
        assert Path(f"again-{name}").stat().st_size


def test_what_is_wrong_keeps_its_status() -> None:
    assert status("fit", "nowhere.npy", errors_too=True) == 2


def test_an_encoding_that_lacks_characters_costs_nothing() -> None:
    """The model's formula has a σ², which ASCII has not."""
    out = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(out, encoding="ascii")) as stream:
        assert main(["fit", "spec.toml"]) == 0
        stream.flush()
        text = out.getvalue().decode("ascii")
    written = {path.name for path in Path("runs/normal").iterdir()}
    assert written == MODEL | TABLES | PICTURES - {"reconstructions.png"}
    assert r"rate KL(q\u2016p)" in text


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs a device that is full"
)
def test_a_disk_that_is_full_for_the_output_costs_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open("/dev/full", "w") as full, redirect_stdout(full):
        assert main(["fit", "spec.toml"]) == 1
    written = {path.name for path in Path("runs/normal").iterdir()}
    assert written == MODEL | TABLES | PICTURES - {"reconstructions.png"}
    assert capsys.readouterr().err == "pyro-vae: stdout: No space left on device\n"


@pytest.mark.slow
def test_in_a_shell(home: Path) -> None:
    """The interpreter has nothing to say either when it flushes its streams at the end."""
    line = f"{sys.executable} -m pyro_vae fit spec.toml | head -n 0; echo ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=home, env=env, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("141\n", "")
    assert (home / "runs/normal/posterior.nc").exists()

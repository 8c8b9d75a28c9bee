"""Each of examples/ runs on a small setting and prints the line that docs/examples.md shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "examples.md"
EXAMPLES = ROOT / "examples"
PICTURE_OF_THE_README = "digits_picture"  # has a test of its own
LONGEST = 60
LARGEST_PICTURE = 60_000

TEXT = PAGE.read_text(encoding="utf-8")
SHOWN = dict(
    re.findall(
        r"`python examples/(\w+)\.py(?: \w+\.(?:npz|csv))?`.*?```text\n(.*?)\n```",
        TEXT,
        re.DOTALL,
    )
)
SCRIPTS = sorted(
    {path.stem for path in EXAMPLES.glob("*.py")} - {PICTURE_OF_THE_README}
)
TAKES_EPOCHS = [name for name in SCRIPTS if name != "autoencoder"]
FROM_FILES = ("frey_faces", "mnist", "single_cell")


def without_numbers(line: str) -> str:
    """A line in which every number is #, and white space is one space."""
    return " ".join(re.sub(r"-?\d+(\.\d+)?", "#", line).split())


def frames_file(folder: Path) -> Path:
    """Grey noise in the shape of the Frey faces: more than the 500 frames that are set aside."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (540, 28, 20), dtype=np.uint8)
    np.savez(folder / "frames.npz", x=frames)
    return folder / "frames.npz"


def packed_file(folder: Path) -> Path:
    """Bits of noise in the shape of the static MNIST, packed."""
    rng = np.random.default_rng(0)
    sizes = {"train": 300, "valid": 50, "test": 210}
    packed = {
        name: np.packbits(rng.random((size, 784)) < 0.1, axis=1)
        for name, size in sizes.items()
    }
    np.savez(folder / "packed.npz", **packed)
    return folder / "packed.npz"


def cells_file(folder: Path) -> Path:
    """Counts of 320 genes in 130 cells of two sizes; four have the names of markers."""
    rng = np.random.default_rng(0)
    size = rng.choice([0.5, 2.0], (130, 1))
    counts = rng.poisson(size * rng.gamma(1.0, 2.0, (130, 320)))
    markers = ["CD3D", "MS4A1", "VCAN", "APOE"]
    genes = [*markers, *(f"gene {i}" for i in range(316))]
    cells = [f"cell {i}" for i in range(130)]
    pd.DataFrame(counts, cells, genes).to_csv(folder / "cells.csv")
    return folder / "cells.csv"


def output(name: str, folder: Path, *arguments: str | Path) -> str:
    """What a script prints that is started in a folder."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, EXAMPLES / f"{name}.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_script_is_on_the_page_with_a_line() -> None:
    assert sorted(SHOWN) == SCRIPTS
    assert f"`python examples/{PICTURE_OF_THE_README}.py`" in TEXT


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short_and_say_what_one_sees(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST
    if name in TAKES_EPOCHS:
        assert "One sees" in source.split('"""')[1].replace("\n", " ")


def test_the_pictures_of_the_page_are_small() -> None:
    pictures = re.findall(r"\((images/\w+\.png)\)", TEXT)
    assert pictures == ["images/single_cell.png", "images/anomalies.png"]
    for picture in pictures:
        assert (DOCS / picture).stat().st_size <= LARGEST_PICTURE


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*TAKES_EPOCHS} - {*FROM_FILES}))
def test_a_script_prints_the_line_of_the_page(name: str, tmp_path: Path) -> None:
    printed = output(name, tmp_path, "--epochs", "1")
    assert without_numbers(SHOWN[name]) in map(without_numbers, printed.splitlines())
    pictures = re.findall(r"^wrote (\w+\.png)$", printed, re.MULTILINE)
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == set(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_FILES)
def test_a_script_reads_its_file(name: str, tmp_path: Path) -> None:
    make = {
        "frey_faces": frames_file,
        "mnist": packed_file,
        "single_cell": cells_file,
    }[name]
    printed = output(name, tmp_path, make(tmp_path), "out.png", "--epochs", "2")
    assert without_numbers(SHOWN[name]) in map(without_numbers, printed.splitlines())
    assert (tmp_path / "out.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_program_has_the_elbo_of_the_library(tmp_path: Path) -> None:
    printed = output("ejected_program", tmp_path, "--epochs", "1")
    library, program = re.findall(r"^\w+: ELBO (-[\d.]+) nats", printed, re.MULTILINE)
    assert float(program) == pytest.approx(float(library), abs=2e-4)

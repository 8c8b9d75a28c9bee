"""Files of a run have the mode that the umask gives to new files, whoever writes them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae import saving
from pyro_vae.analysis.bridge.netcdf import write_netcdf
from pyro_vae.analysis.figures.plots import learning_curve, save_figure
from pyro_vae.atomic_files import whole_files, written_whole
from pyro_vae.cli.shared import write_arrays
from pyro_vae.experiment import run_folder
from tests.cli.command import QUICK, pyro_vae, write_data


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=oct)
def expected(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set a umask; the mode of a file under it."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def private(path: Path) -> None:
    """Write a file as safetensors does: for its owner only."""
    path.write_text("mine")
    path.chmod(0o600)


def test_of_one_file(expected: int, tmp_path: Path) -> None:
    with written_whole(tmp_path / "one.txt") as draft:
        private(draft)
    assert mode(tmp_path / "one.txt") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]


def test_of_a_folder_new_or_not(expected: int, tmp_path: Path) -> None:
    for _ in range(2):
        with whole_files(tmp_path / "run") as draft:
            private(draft / "one.txt")
        assert mode(tmp_path / "run" / "one.txt") == expected


@pytest.fixture(scope="module")
def trained() -> tuple[pv.VAE, pv.Run, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    vae = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(4,))
    return vae, pv.fit(vae, rows, epochs=2, progress=False), rows


def a_model(folder: Path, trained: Any) -> None:
    pv.save(trained[0], folder)


def a_checkpoint(folder: Path, trained: Any) -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(4,))
    pv.fit(vae, trained[2], epochs=1, checkpoint=folder / "checkpoint")


def a_figure(folder: Path, trained: Any) -> None:
    save_figure(learning_curve(trained[1].history), folder / "history.png")


def a_netcdf_file(folder: Path, trained: Any) -> None:
    write_netcdf(
        pv.to_arviz(trained[0], trained[2][:3], num_samples=2), folder / "posterior.nc"
    )


def arrays(folder: Path, trained: Any) -> None:
    write_arrays(folder / "codes.npz", lambda text: None, {"loc": trained[2]})
    write_arrays(folder / "codes.npy", lambda text: None, {"loc": trained[2]})


WRITERS = (a_model, a_checkpoint, a_figure, a_netcdf_file, arrays)


@pytest.mark.parametrize("write", WRITERS)
def test_of_every_writer(
    write: Any, trained: Any, expected: int, tmp_path: Path
) -> None:
    write(tmp_path, trained)
    modes = {path.name: oct(mode(path)) for path in tmp_path.iterdir()}
    assert modes
    assert modes == dict.fromkeys(modes, oct(expected))


def test_of_a_run_folder_and_a_table_of_it(
    expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of `pyro-vae fit` and `pyro-vae evaluate --output`."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "save_figure", lambda figure, path: private(path))
    model = ("--set", "latent_dim=2", "--set", "hidden_dims=[4]")
    assert pyro_vae("fit", "normal.npy", *QUICK, *model).status == 0
    assert pyro_vae("evaluate", "runs/normal", "--output", "rows.csv").status == 0
    files = [*Path("runs/normal").iterdir(), Path("rows.csv")]
    assert {path.name for path in files} >= {
        "model.safetensors",
        "history.png",
        "evidence.csv",
    }
    assert {oct(mode(path)) for path in files} == {oct(expected)}


def test_a_new_folder_has_the_mode_of_new_folders(
    expected: int, tmp_path: Path
) -> None:
    with whole_files(tmp_path / "run") as draft:
        private(draft / "one.txt")
    (tmp_path / "usual").mkdir()
    assert mode(tmp_path / "run") == mode(tmp_path / "usual")


def test_a_file_that_is_replaced_keeps_its_mode(expected: int, tmp_path: Path) -> None:
    """As when it is opened for writing, whatever the umask asks for new files."""
    shared = tmp_path / "run" / "one.txt"
    shared.parent.mkdir()
    shared.write_text("former")
    shared.chmod(0o640)
    with whole_files(shared.parent) as draft:
        private(draft / "one.txt")
        private(draft / "two.txt")
    assert shared.read_text() == "mine"
    assert (mode(shared), mode(shared.parent / "two.txt")) == (0o640, expected)
    with written_whole(shared) as temporary:
        private(temporary)
    assert mode(shared) == 0o640


def forbid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to read files of a name; the superuser can't be refused otherwise."""
    opened = Path.open

    def open_or_not(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_or_not)


def not_found(path: Path) -> None:
    """What safetensors says of a file that it may not read."""
    raise OSError(f"No such file or directory: {path}")


@pytest.mark.parametrize("name", ["spec.json", "model.safetensors"])
def test_a_forbidden_file_is_not_damaged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pv.save(pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(4,)), tmp_path)
    if name == "model.safetensors":
        monkeypatch.setattr(saving, "load_file", not_found)
    forbid(name, monkeypatch)
    with pytest.raises(
        ValueError,
        match=f"{name}: no permission to read it; ask its owner for chmod a.r {name}",
    ):
        pv.load(tmp_path)

"""Files of a run have the mode that the umask gives to new files, whoever writes them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyro_vae as pv
from pyro_vae import saving
from pyro_vae.atomic_files import whole_files, written_whole


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


def test_of_a_model_and_a_checkpoint(expected: int, tmp_path: Path) -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(4,))
    pv.save(vae, tmp_path / "run")
    pv.fit(vae, [[0.0, 1, 2, 3], [1, 0, 1, 0]], epochs=1, checkpoint=tmp_path / "long.run")
    files = [*(tmp_path / "run").iterdir(), tmp_path / "long.run"]
    assert {path.name: mode(path) for path in files} == {
        "spec.json": expected,
        "model.safetensors": expected,
        "long.run": expected,
    }


def forbid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to read files of a name; the superuser, who may run this, can't be refused otherwise."""
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
        ValueError, match=f"{name}: no permission to read it; ask its owner for chmod a.r {name}"
    ):
        pv.load(tmp_path)

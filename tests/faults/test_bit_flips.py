"""A flipped bit or a cut in a model, a checkpoint or a description is never loaded as if it were
what was written.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_vae.analysis import evidence
from pyro_vae.analysis.marginal_likelihood.row_checkpoint import RowCheckpoint
from pyro_vae.checksums import content_sha256
from pyro_vae.experiment.manifest import manifest_of, require_whole
from pyro_vae.saving import read_run, write_model
from pyro_vae.training import fit, load
from pyro_vae.training.checkpoint import Checkpoint
from tests.training.small import X, same, small, weights

FLIPS = 200


def damaged(content: bytes, count: int = FLIPS) -> Iterator[bytes]:
    """The bytes with one bit flipped each time, and cut off at some lengths."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        place, bit = int(rng.integers(len(content))), int(rng.integers(8))
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        yield bytes(changed)
    for length in np.linspace(0, len(content) - 1, 20).astype(int):
        yield content[:length]


def count_loaded(
    file: Path, read: Callable[[], Any], is_same: Callable[[Any], bool]
) -> int:
    """How many damages are loaded with the content as it was; all others are refused by name."""
    content = file.read_bytes()
    loaded = 0
    for one in damaged(content):
        file.write_bytes(one)
        try:
            found = read()
        except ValueError as error:
            assert str(file.parent) in str(error)  # noqa: PT017
            assert len(str(error)) < 2500  # noqa: PT017
        else:
            assert is_same(found)
            loaded += 1
    file.write_bytes(content)
    assert is_same(read())
    return loaded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(
        small(), tmp_path / "run", run={"data": "rows.csv", "fit": {"lr": 0.1}}
    )


def test_no_flip_in_the_weights_is_loaded(folder: Path) -> None:
    before = weights(load(folder))
    file = folder / "model.safetensors"
    assert (
        count_loaded(file, lambda: load(folder), lambda vae: same(weights(vae), before))
        == 0
    )


def test_a_flip_in_the_description_changes_nothing_where_it_is_loaded(
    folder: Path,
) -> None:
    """Only what JSON doesn't read, such as a space, may change."""
    before = read_run(folder)
    file = folder / "spec.json"
    loaded = count_loaded(file, lambda: read_run(folder), lambda found: found == before)
    assert loaded < FLIPS / 2


def test_no_flip_in_a_checkpoint_changes_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    fit(small(), X, epochs=2, checkpoint=path, progress=False)

    def read() -> Any:
        return Checkpoint(path, None)._load()  # type: ignore[arg-type]

    text, before = read()

    def is_same(found: Any) -> bool:
        return found[0] == text and all(
            torch.equal(found[1][name], tensor) for name, tensor in before.items()
        )

    assert (
        count_loaded(path, read, is_same) < FLIPS / 20
    )  # in the spaces after the header


def content(found: Any) -> str:
    """Text and tensors, in which nan is equal to itself."""
    text, tensors = found
    return content_sha256(tensors, str(text))


def test_no_flip_in_the_rows_done_changes_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    options: dict[str, Any] = {"num_particles": 5, "checkpoint": path}
    evidence(small(), X, **options)
    before = RowCheckpoint.read(path)

    def is_same(found: Any) -> bool:
        return content(found) == content(before)

    loaded = count_loaded(path, lambda: RowCheckpoint.read(path), is_same)
    assert loaded < FLIPS / 20  # in the spaces after the header


def test_a_file_that_differs_from_the_manifest_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_text('{"rows": 12}')
    (tmp_path / "manifest.json").write_text(manifest_of([file]))
    require_whole(tmp_path, "metrics.json", "none.csv")
    file.write_text('{"rows": 13}')
    with pytest.raises(
        ValueError, match=r"metrics\.json: damaged, or changed since the run"
    ):
        require_whole(tmp_path, "metrics.json")
    (tmp_path / "manifest.json").write_text(manifest_of([file]).replace("a", "b", 1))
    with pytest.raises(ValueError, match=r"manifest\.json: damaged"):
        require_whole(tmp_path, "metrics.json")

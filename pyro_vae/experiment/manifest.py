"""The manifest of a run: the SHA-256 of each of its files, written last."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyro_vae.checksums import file_sha256, is_sealed, sealed
from pyro_vae.experiment.run_files import MANIFEST


def manifest_of(files: Iterable[Path]) -> str:
    """The text of the manifest of some files."""
    digests = {file.name: file_sha256(file) for file in files}
    return json.dumps(sealed({"files": digests}), indent=2) + "\n"


def read_manifest(folder: Path) -> Mapping[str, str]:
    """The SHA-256 of each file; none where the folder has no manifest.

    Raises:
        ValueError: a manifest that is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}; fit again") from error
    if not isinstance(manifest, dict) or not is_sealed(manifest):
        raise ValueError(
            f"{path}: damaged, or changed since it was written (its SHA-256 is another); fit again"
        )
    digests: Mapping[str, str] = manifest["files"]
    return digests


def require_whole(folder: Path, *names: str) -> None:
    """Raise ValueError where a file isn't the one that the manifest of its folder names.

    A folder without a manifest is of a former version, and not checked.
    """
    digests = read_manifest(folder)
    for name in names:
        path = folder / name
        if digests and path.exists() and file_sha256(path) != digests.get(name):
            raise ValueError(
                f"{path}: damaged, or changed since the run has ended (its SHA-256 is another); "
                "take a copy of the folder, or fit again"
            )

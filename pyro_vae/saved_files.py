"""The two files of a saved model: their names and versions, and whether they are as written."""

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_vae.atomic_files import require_permission
from pyro_vae.checksums import file_sha256, is_sealed
from pyro_vae.data.untrusted import require_shallow
from pyro_vae.spec import Spec

SPEC = "spec.json"
WEIGHTS = "model.safetensors"
FORMAT = 2
UNSEALED = 1
"""The format before there were checksums, which is read without them."""
LIBRARY = "pyro_vae"
UNFINISHED = "unfinished"
"""The folder, inside that of a run, with all that it needs to go on."""


def read_description(path: Path) -> dict[str, Any]:
    """The contents of `spec.json`."""
    try:
        description: Any = json.loads((path / SPEC).read_text(encoding="utf-8"))
        require_shallow(description)
    except OSError as error:
        require_permission(path / SPEC)
        remedy = ""
        if (path / UNFINISHED).is_dir():
            remedy = "; its run has not ended: continue it (resume=True)"
        raise ValueError(
            f"{path}: holds no saved model: {SPEC} can't be read ({error.strerror}){remedy}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path / SPEC}: damaged: {error}") from error
    if not isinstance(description, dict) or description.get("library") != LIBRARY:
        raise ValueError(
            f"{path / SPEC}: expected a description written by pyro_vae, got something else"
        )
    if description.get("format") not in (FORMAT, UNSEALED):
        raise ValueError(
            f"{path / SPEC}: expected format {FORMAT}, got {description.get('format')}; update "
            "pyro_vae"
        )
    if description["format"] == FORMAT and not is_sealed(description):
        raise ValueError(
            f"{path / SPEC}: damaged, or changed since it was written (its SHA-256 is another)"
            f'{_remedy(path)}; what was changed on purpose is read unchecked with "format": '
            f"{UNSEALED}"
        )
    return description


def require_whole(path: Path, description: Mapping[str, Any]) -> None:
    """Raise ValueError where the weights aren't those that were written with the description."""
    if description["format"] == UNSEALED:
        return
    files = description.get("files")
    expected = files.get(WEIGHTS) if isinstance(files, dict) else None
    try:
        digest = file_sha256(path / WEIGHTS)
        found = f"{digest[:8]}..."
    except OSError as error:
        require_permission(path / WEIGHTS)
        digest, found = None, str(error.strerror)
    if digest is None or digest != expected:
        raise ValueError(
            f"{path / WEIGHTS}: damaged, or of another model than {path / SPEC}: expected the "
            f"SHA-256 {str(expected)[:8]}..., got {found}{_remedy(path)}"
        )


def require_small(path: Path, spec: Spec) -> None:
    """Raise ValueError where the weights can't be those of so large a model, before it is made."""
    sizes = [math.prod(spec.data_shape), *spec.hidden_dims, spec.latent_dim]
    numbers = max(sizes)
    if spec.encoder.kind == "mlp":
        numbers = sum(before * after for before, after in itertools.pairwise(sizes))
    if spec.context is not None:
        numbers = max(numbers, spec.context.width)
    file = path / WEIGHTS
    if file.exists() and numbers > file.stat().st_size:
        raise ValueError(
            f"{file}: damaged, or of another model than {path / SPEC}: expected at least "
            f"{numbers} numbers, got {file.stat().st_size} bytes"
        )


def _remedy(path: Path) -> str:
    """What to do about a damaged file of a run."""
    if (path / UNFINISHED).exists():
        return "; its run has not ended: continue it (resume=True)"
    return "; take a copy of the folder, or fit again"

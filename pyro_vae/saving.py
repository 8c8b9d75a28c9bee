"""A model on disk: a folder with its description (JSON) and weights (safetensors), no pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.distributions import Distribution

from pyro_vae.arguments import public
from pyro_vae.atomic_files import require_permission, whole_files
from pyro_vae.checksums import save_tensors, sealed
from pyro_vae.kind_options import qualified_name
from pyro_vae.saved_files import (
    FORMAT,
    LIBRARY,
    SPEC,
    WEIGHTS,
    read_description,
    require_small,
    require_whole,
)
from pyro_vae.spec import Spec
from pyro_vae.threads import alone
from pyro_vae.vae import VAE

PathLike = str | os.PathLike[str]


def require_free(folder: PathLike, *, overwrite: bool = False) -> None:
    """Raise ValueError where `folder` holds another run, or is no folder; nothing is written."""
    path = Path(os.path.expanduser(folder))
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{path}: expected a folder to write to, got a file; choose another name"
        )
    if not overwrite and any((path / name).exists() for name in (SPEC, WEIGHTS)):
        raise ValueError(
            f"{path}: holds another run; choose another folder, or overwrite it (overwrite=True)"
        )


@public
def save(vae: VAE, folder: PathLike, *, overwrite: bool = False) -> Path:
    """Write `spec.json` and `model.safetensors` into `folder`, complete or not at all.

    Arguments:
        vae: the model.
        folder: made where it doesn't exist.
        overwrite: replace the run that the folder holds.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds another run.

    Example:
        >>> import tempfile
        >>> folder = save(VAE(data_shape=(4,), latent_dim=2), Path(tempfile.mkdtemp()) / "run")
        >>> sorted(file.name for file in folder.iterdir())
        ['model.safetensors', 'spec.json']
    """
    return write_model(vae, folder, overwrite=overwrite)


def write_model(
    vae: VAE,
    folder: PathLike,
    *,
    overwrite: bool = False,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """`save`, with what else there is to say of the run that the model comes from.

    Arguments:
        vae: the model.
        folder: made where it doesn't exist.
        overwrite: replace the run that the folder holds.
        run: kept under "run" in `spec.json`; `load` doesn't need it.
    """
    path = Path(os.path.expanduser(folder))
    require_free(path, overwrite=overwrite)
    with alone():  # waits for a thread that trains the model
        weights = {
            uncompiled(name): value.detach().to("cpu", copy=True).contiguous()
            for name, value in vae.state_dict().items()
        }
    with whole_files(path) as draft:
        digest = save_tensors(weights, draft / WEIGHTS)
        description = sealed({**described(vae, run), "files": {WEIGHTS: digest}})
        text = json.dumps(description, indent=2) + "\n"
        (draft / SPEC).write_text(text, encoding="utf-8")
    return path


def described(vae: VAE, run: Mapping[str, Any] | None) -> dict[str, Any]:
    """The contents of `spec.json` but for checksums; a subclass of VAE is named."""
    description: dict[str, Any] = {
        "format": FORMAT,
        "library": LIBRARY,
        "model": vae.spec.model_dump(mode="json"),
    }
    if type(vae) is not VAE:
        description["class"] = qualified_name(type(vae))
    if run is not None:
        description["run"] = dict(run)
    return description


@public
def load(folder: PathLike, **parts: nn.Module | Distribution) -> VAE:
    """Read a model that `save` wrote; no data is needed, and nothing in the files is executed.

    Arguments:
        folder: where it was saved.
        **parts: the user's own objects, by slot (prior, likelihood, guide, encoder, decoder), where
            the model had some; modules take their weights from the file.

    Returns:
        The model, on the CPU, in evaluation mode.

    Raises:
        ValueError: no such folder, a damaged or foreign file, a missing object of the user's.

    Example:
        >>> import tempfile
        >>> folder = save(VAE(data_shape=(4,), latent_dim=2), Path(tempfile.mkdtemp()) / "run")
        >>> load(folder).spec.latent_dim
        2
    """
    path = Path(os.path.expanduser(folder))
    description = read_description(path)
    spec = _spec_of(path, description)
    _require_parts(path, spec.custom(), parts)
    require_whole(path, description)
    require_small(path, spec)
    vae = VAE.from_spec(spec, **parts)
    try:
        _load_weights(vae, path / WEIGHTS)
    except (SafetensorError, RuntimeError, OSError) as error:
        require_permission(path / WEIGHTS)
        _refuse_subclass(path, description, error)
        raise ValueError(
            f"{path / WEIGHTS}: damaged, or of another model than {path / SPEC}: {error}"
        ) from error
    return vae.eval()


def _require_parts(
    path: Path,
    own: Mapping[str, str],
    parts: Mapping[str, Any],
) -> None:
    """Raise ValueError where `parts` are not the user's own parts of the saved model."""
    missing = {slot: kind for slot, kind in own.items() if slot not in parts}
    if missing:
        passed = ", ".join(f"{slot}=<your {kind}>" for slot, kind in missing.items())
        raise ValueError(
            f"{path}: this model was saved with objects of your own; pass them: load(folder, "
            f"{passed})"
        )
    unknown = [slot for slot in parts if slot not in own]
    if unknown:
        raise ValueError(
            f"{path}: the saved model brings its own {', '.join(unknown)}; expected parts: "
            f"{list(own)}"
        )


def _load_weights(vae: VAE, file: Path) -> None:
    """Give the model the weights in a file, and their dtype where they have one."""
    saved = load_file(file)
    dtypes = {value.dtype for value in saved.values() if value.is_floating_point()}
    if len(dtypes) == 1:
        vae.to(dtypes.pop())
    names = {uncompiled(name): name for name in vae.state_dict()}
    weights = {
        names.get(uncompiled(name), name): value for name, value in saved.items()
    }
    vae.load_state_dict(weights)


def read_run(folder: PathLike) -> dict[str, Any]:
    """The model's fields, and what `write_model` was given as `run`; without one only the former.

    Raises:
        ValueError: no saved model, or a damaged description.
    """
    description = read_description(Path(os.path.expanduser(folder)))
    model: dict[str, Any] = description.get("model", {})
    return {**model, **description.get("run", {})}


def uncompiled(name: str) -> str:
    """The name of a weight without the wrapper that `torch.compile` puts around a module.

    Example:
        >>> uncompiled("guide.posterior.encoder._orig_mod.0.weight")
        'guide.posterior.encoder.0.weight'
    """
    return name.replace("_orig_mod.", "")


def _refuse_subclass(
    path: Path,
    description: Mapping[str, Any],
    error: Exception,
) -> None:
    """Raise ValueError for the weights of a subclass, which only its own constructor can make."""
    kind = description.get("class")
    if not kind:
        return
    name = kind.rpartition(".")[2]
    raise ValueError(
        f"{path}: holds a {kind}, a subclass of VAE with weights of its own; make it and read "
        f"its weights: vae = {name}(...); "
        f"vae.load_state_dict(safetensors.torch.load_file({str(path / WEIGHTS)!r}))"
    ) from error


def _spec_of(path: Path, description: Mapping[str, Any]) -> Spec:
    """The description of the model."""
    try:
        return Spec.model_validate(description["model"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path / SPEC}: damaged, or written by another version: {error}"
        ) from error

"""Parts of a model as files that run without this package: torch.export and ONNX."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from pyro_vae.analysis.deployment.onnx_float64 import translations
from pyro_vae.analysis.deployment.parts import PARTS, Axes, Part
from pyro_vae.analysis.fitted import evaluation, require_density
from pyro_vae.arguments import public
from pyro_vae.atomic_files import written_whole
from pyro_vae.compiler.refusal import Refusal, why_refused
from pyro_vae.vae import VAE

SUFFIXES = (".onnx", ".pt2")
FOR_ONNX = ("onnx", "onnxscript")
REGISTRY = "torch.onnx._internal.exporter._registration"
"""The logger that warns of torchvision, which no model needs."""


@public
def export(vae: VAE, file: str | os.PathLike[str], *, part: str = "posterior") -> Path:
    """Write a part of a model as a program that takes any number of rows: `.onnx` or `.pt2`.

    "posterior": x → loc, scale, the mean and standard deviation of q(z | x), (n, latent_dim).
    "likelihood": z → mean, E[x | z] or categories, (n, *data_shape).
    "log_weight": x, z → log_weight, log p(x, z) - log q(z | x), (draws, n).
    "draws": x, eps → z, log_weight, with z = f(ε; x) ~ q(z | x) for ε ~ N(0, I).
    "label": x → probabilities, q(y | x) of each class, (n, K), in a model with a label.

    x are rows in the model's own numbers, (n, *data_shape): of a table those of `Table.values`.
    z is (n, latent_dim) for "likelihood"; beside x it has draws, as eps: (draws, n, latent_dim).
    Of the numbers of "log_weight" and "draws", logsumexp over the draws less log(draws) estimates
    log p(x).

    A model with a context takes it as the last input, (n, C): all of this is given c then. Levels
    are positions, random effects are at the means of q(u), and an unknown label, nan, has
    probabilities only.

    A `.pt2` file runs in torch alone: `torch.export.load(file).module()(x)`. An `.onnx` file needs
    the packages onnx and onnxscript to be written, and a runtime of ONNX to be run. Both hold the
    model in evaluation mode.

    Arguments:
        vae: a fitted model; its mode and Pyro's validation stay as they are.
        file: in a folder that exists; one of that name is replaced.
        part: one of the above.

    Returns:
        The file.

    Raises:
        ValueError: a file of another kind, or no folder; packages that are not installed; a part
            that can't be exported: guide "semi_amortized" takes gradients at each call, an
            autoencoder has no weights, and ONNX lacks some operations; "label" without a label.

    Example:
        >>> import tempfile
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> file = export(vae, Path(tempfile.mkdtemp(), "encoder.pt2"))
        >>> loc, scale = torch.export.load(file).module()(torch.zeros(7, 4))
        >>> loc.shape
        torch.Size([7, 2])
    """
    target = _target(file)
    if part not in PARTS:
        raise ValueError(
            f"part: expected one of {', '.join(PARTS)}, got {part!r}; pass one of them"
        )
    chosen = PARTS[part](vae)
    _require_traceable(vae, chosen)
    examples, sizes = chosen.examples(vae)
    with evaluation(vae), _quiet():
        program = _traced(vae, part, chosen, examples, sizes)
        if target.suffix == ".onnx":
            _write_onnx(program, target, part, chosen, sizes)
            return target
    with written_whole(target) as draft, draft.open("wb") as stream:
        torch.export.save(program, stream)
    return target


def _target(file: str | os.PathLike[str]) -> Path:
    """The file, which can be written."""
    target = Path(os.path.expanduser(file))
    if target.suffix not in SUFFIXES:
        raise ValueError(
            f"file: expected a name that ends in {' or '.join(SUFFIXES)}, got {os.fspath(file)!r}; "
            "the ending says what is written"
        )
    if not target.parent.is_dir():
        raise ValueError(
            f"file: expected an existing folder, got {target.parent}; make the folder first"
        )
    lacking = " and ".join(name for name in FOR_ONNX if find_spec(name) is None)
    if target.suffix == ".onnx" and lacking:
        raise ValueError(
            f"file: expected {' and '.join(FOR_ONNX)} to be installed for an .onnx file, got no "
            f"{lacking}; pip install 'pyro-vae[onnx]', or write a .pt2 file"
        )
    return target


def _require_traceable(vae: VAE, chosen: Part) -> None:
    """Raise ValueError for parts of which it is known that they can't be exported."""
    if "guide" in chosen.needs and vae.spec.guide.kind == "semi_amortized":
        raise ValueError(
            "guide 'semi_amortized': its steps take gradients at each call, which an exported "
            "program can't; export part='likelihood', or fit with guide 'full_rank' or 'flow'"
        )
    if "prior" in chosen.needs:
        require_density(vae)


def _traced(
    vae: VAE,
    part: str,
    chosen: Part,
    examples: tuple[Tensor, ...],
    sizes: tuple[Axes, ...],
) -> ExportedProgram:
    """The program of a part."""
    how: dict[str, Any] = {"dynamic_shapes": sizes, "strict": False}
    try:
        return torch.export.export(chosen, examples, **how)
    except Refusal:
        raise
    except Exception as error:  # of many types, for modules of users
        own = [name for name in chosen.needs if name in vae.spec.custom()]
        reason = why_refused(error, caller=__name__)
        raise ValueError(
            f"{part}: torch.export can't make a program of {' and '.join(own) or 'it'}: {reason}; "
            "compute it without decisions that depend on the values of tensors"
        ) from error


def _write_onnx(
    program: ExportedProgram,
    target: Path,
    part: str,
    chosen: Part,
    sizes: tuple[Axes, ...],
) -> None:
    """Translate a program to ONNX."""
    # what a distribution computes and no output needs, which ONNX may not have
    program.graph_module.graph.eliminate_dead_code()
    how: dict[str, Any] = {
        "input_names": list(chosen.inputs),
        "output_names": list(chosen.outputs),
        "dynamic_shapes": sizes,
    }
    if any(weight.dtype == torch.float64 for weight in chosen.parameters()):
        how["custom_translation_table"] = translations()
    try:
        translated = torch.onnx.export(program, (), dynamo=True, verbose=False, **how)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(
            f"file: expected a part that ONNX can express, got {part!r}, for which it lacks "
            f"{_lacking(error)}; write a .pt2 file, or take part='posterior' or part='likelihood'"
        ) from error
    assert translated is not None
    with written_whole(target) as draft:
        translated.save(draft)


def _lacking(error: BaseException) -> str:
    """The operation that ONNX lacks, from the cause that names one."""
    cause: BaseException | None = error
    while cause is not None:
        found = re.search(
            r"No ONNX function found for <OpOverload\(op='([^']+)", str(cause)
        )
        if found:
            return found[1]
        cause = cause.__cause__
    return str(error).strip().partition("\n")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of torch about its own code, and about a package that no model needs."""
    logger = logging.getLogger(REGISTRY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            # two inputs have the axis "rows", as they should
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            yield
    finally:
        logger.setLevel(level)

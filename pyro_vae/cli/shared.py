"""What several subcommands share: arguments, the model and the rows of a run, arrays on disk."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from pyro_vae.data import SparseArray, Splits
    from pyro_vae.experiment.description import Experiment
    from pyro_vae.vae import VAE

Say = Callable[[str], None]


def path(text: str) -> Path:
    """A path of the command line; a shell doesn't expand the ~ of --output=~/x."""
    return Path(os.path.expanduser(text))


def takes_a_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=path, help="folder of a fitted model")


def takes_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        help="all rows of this file, or its test rows, instead of the run's own test rows",
    )


def takes_settings(
    parser: argparse.ArgumentParser, example: str = "evaluate.num_particles=5000"
) -> None:
    help_text = (
        f"override one field of the description, for example {example}; may be repeated"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help=help_text
    )


def writes_arrays(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=path,
        required=True,
        help="a .npz file, or .npy for the first array",
    )


def with_source(fields: dict[str, Any], source: str | None) -> dict[str, Any]:
    """The fields of a description with another source of rows."""
    if source is None:
        return fields
    data = fields.get("data", {})
    if isinstance(data, str):
        data = {}
    return {**fields, "data": {**data, "source": source}}


def fitted(options: argparse.Namespace) -> "tuple[VAE, Experiment, Any]":
    """The model of a run, the description of the run, and the rows that `--data` asks for."""
    from pyro_vae.experiment.record import require_same_rows
    from pyro_vae.experiment.splits import (
        as_modelled,
        check_rows,
        hold_out,
        read_source,
    )
    from pyro_vae.saving import load, read_run

    _check_settings(options)
    vae = load(options.run)
    experiment = experiment_of(options)
    rows = read_source(experiment.data, vae.spec.data_shape, fitted=True)
    if options.data is None:
        require_same_rows(rows, read_run(options.run), experiment.data.source)
        return (
            vae,
            experiment,
            as_modelled(hold_out(rows, experiment.data).test, experiment),
        )
    check_rows(vae, rows, options.data, grey=experiment.fit.binarize == "dynamic")
    return vae, experiment, as_modelled(held_out_or_all(rows), experiment)


def held_out_or_all(rows: "Splits") -> "np.ndarray | SparseArray":
    """The test rows of a source, or all rows where it names no test rows."""
    return rows.train if rows.test is None else rows.test


def experiment_of(options: argparse.Namespace) -> "Experiment":
    """The description of a run, changed by the arguments."""
    from pyro_vae.experiment.description import Experiment, described_run, override

    fields = with_source(described_run(options.run), options.data)
    if "data" not in fields:
        raise ValueError(
            f"{options.run}: holds a model without a description of its data; pass --data"
        )
    return Experiment.model_validate(override(fields, options.set))


def _check_settings(options: argparse.Namespace) -> None:
    tables = {"evaluate", "data"} if options.data else {"evaluate"}
    for setting in options.set:
        if setting.partition(".")[0] not in tables:
            allowed = " or ".join(f"{name}.NAME=VALUE" for name in sorted(tables))
            raise ValueError(
                f"--set: expected {allowed} for a fitted model, got {setting!r}; fit another model"
            )


def check_output(file: Path | None, *suffixes: str) -> None:
    """Raise ValueError, before any work, where the file can't be written later."""
    if file is None:
        return
    if file.suffix not in suffixes:
        raise ValueError(
            f"--output: expected a {' or '.join(suffixes)} file, got {file}"
        )
    if not file.parent.is_dir():
        raise ValueError(
            f"--output: expected an existing folder, got {file.parent}; make the folder first"
        )
    if file.is_dir():
        raise ValueError(
            f"--output: expected a file, got the folder {file}; name a file in it"
        )
    _require_writable(file)


def _require_writable(file: Path) -> None:
    from pyro_vae.experiment.run_folder import require_writable

    try:
        require_writable(file)
    except ValueError as error:
        raise ValueError(f"--output: {error}") from error


def write_arrays(file: Path, say: Say, arrays: dict[str, Any]) -> dict[str, Any]:
    """Write arrays by name to a .npz file, or the first of them to a .npy file."""
    import numpy as np

    from pyro_vae.atomic_files import written_whole

    shapes = {name: list(array.shape) for name, array in arrays.items()}
    with written_whole(file) as draft, draft.open("wb") as stream:
        if file.suffix == ".npz":
            np.savez_compressed(stream, **arrays)
        else:
            first = next(iter(arrays))
            np.save(stream, arrays[first])
            shapes = {first: shapes[first]}
    written = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    say(f"{file}: {written}")
    return {"file": os.fspath(file), "shapes": shapes}

"""What several subcommands share: arguments, the model and the rows of a run, arrays on disk."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.experiment.description import Experiment

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
        help="a .npz file, or .npy for the first array; or a table, .csv or .parquet",
    )


def with_source(fields: dict[str, Any], source: str | None) -> dict[str, Any]:
    """The fields of a description with another source of rows."""
    if source is None:
        return fields
    data = fields.get("data", {})
    if isinstance(data, str):
        data = {}
    return {**fields, "data": {**data, "source": source}}


def experiment_of(options: argparse.Namespace) -> "Experiment":
    """The description of a run, changed by the arguments."""
    from pyro_vae.experiment.description import Experiment
    from pyro_vae.experiment.fields import described_run
    from pyro_vae.experiment.settings import override

    fields = with_source(described_run(options.run), options.data)
    if "data" not in fields:
        raise ValueError(
            f"{options.run}: holds a model without a description of its data; pass --data"
        )
    return Experiment.model_validate(override(fields, options.set))


def check_settings(options: argparse.Namespace) -> None:
    """Raise ValueError where `--set` names what can't be changed in a fitted model."""
    tables = {"evaluate", "data"} if options.data else {"evaluate"}
    for setting in options.set:
        is_of_processes = setting.startswith("fit.timeout=")
        if setting.partition(".")[0] not in tables and not is_of_processes:
            allowed = " or ".join(f"{name}.NAME=VALUE" for name in sorted(tables))
            raise ValueError(
                f"--set: expected {allowed} for a fitted model, got {setting!r}; fit another model"
            )


def refuse_rows_setting(options: argparse.Namespace) -> None:
    """Raise ValueError where `--set` gives the number of rows, for which there is an argument."""
    from pyro_vae.experiment.settings import override

    check_settings(options)
    if "rows" in override({"evaluate": {}}, options.set)["evaluate"]:
        raise ValueError("--set: evaluate.rows is --rows for this command; pass --rows")


def check_output(options: argparse.Namespace, *suffixes: str) -> None:
    """Raise ValueError, before any work, where `--output` can't be written later."""
    file: Path | None = options.output
    if file is None:
        return
    if file.suffix not in suffixes:
        *others, last = suffixes
        allowed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"--output: expected a {allowed} file, got {file}")
    if not file.parent.is_dir():
        raise ValueError(
            f"--output: expected an existing folder, got {file.parent}; make the folder first"
        )
    if file.is_dir():
        raise ValueError(
            f"--output: expected a file, got the folder {file}; name a file in it"
        )
    _require_other_file(file, options)
    _require_writable(file)


def _require_other_file(file: Path, options: argparse.Namespace) -> None:
    """Raise ValueError where the results would replace the rows that they are of."""
    for argument in ("data", "reference"):
        source = getattr(options, argument, None)
        if source is None or not file.exists() or not path(source).exists():
            continue
        if file.samefile(path(source)):
            raise ValueError(
                f"--output: expected another file than --{argument}, got {file} for both; its rows "
                "would be lost"
            )


def _require_writable(file: Path) -> None:
    from pyro_vae.experiment.run_files import require_writable

    try:
        require_writable(file)
    except ValueError as error:
        raise ValueError(f"--output: {error}") from error


TABLES = (".csv", ".parquet")
"""The files of tables, with names of columns and labels of rows."""


def write_table(file: Path, say: Say, frame: Any) -> dict[str, Any]:
    """Write a DataFrame of any library to .csv or .parquet, with the labels of its rows."""
    import narwhals as nw

    from pyro_vae.atomic_files import written_whole

    table = nw.from_native(frame).to_pandas()
    is_labelled = type(table.index).__name__ != "RangeIndex"
    with written_whole(file) as draft:
        if file.suffix == ".csv":
            table.to_csv(draft, index=is_labelled)
        else:
            table.to_parquet(draft, index=is_labelled)
    shape = list(table.shape)
    say(f"{file}: {shape[0]} rows, {shape[1]} columns")
    return {"file": os.fspath(file), "shapes": {"table": shape}}


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

"""The command `pyro-vae`."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae import __version__

if TYPE_CHECKING:
    from pyro_vae.experiment import Experiment, Held
    from pyro_vae.vae import VAE

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad input, 1 another failure, 130 interrupted."""
    options = _parser().parse_args(arguments)
    say: Say = (lambda text: None) if options.json else (lambda text: print(text, flush=True))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *_: print(f"pyro-vae: {message}", file=sys.stderr)
            result: dict[str, Any] = options.command(options, say)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{stop}", 130)
    except ValueError as error:
        return _fail(_sentence(error), 2)
    except OSError as error:
        return _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    if options.json:
        from pyro_vae.outputs import finite

        print(json.dumps(finite(result), indent=2))
    return 130 if result.get("interrupted") else 0


def _fail(message: str, status: int) -> int:
    print(f"pyro-vae: {message}", file=sys.stderr)
    return status


def _sentence(error: ValueError) -> str:
    """What is wrong, in the words of the command line."""
    from pydantic import ValidationError

    from pyro_vae.experiment import explain

    if isinstance(error, ValidationError):
        return explain(error)
    return str(error).replace("overwrite=True", "--overwrite").replace("pass array=", "pass --set data.array=")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyro-vae", description="Variational autoencoders as Pyro programs.")
    parser.add_argument("--version", action="version", version=f"pyro-vae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[..., dict[str, Any]], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__.strip("_"), help=text, description=text)
        added.set_defaults(command=run)
        added.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        return added

    fit = command(_fit, "Fit a model, evaluate it on held-out rows, and write model, numbers and pictures.")
    fit.add_argument("source", nargs="?", help="a description (.toml, .json) or data; by default the bundled digits")
    fit.add_argument("--data", help="the data of a description, or another file")
    fit.add_argument("--output", type=Path, help="folder of the run (default: runs/NAME OF THE DATA)")
    fit.add_argument("--overwrite", action="store_true", help="replace the run in that folder")

    evaluate = command(_evaluate, "Estimate log p(x) of held-out rows under a fitted model.")
    evaluate.add_argument("--output", type=Path, help="also write log p(x) of each row to this .csv file")

    sample = command(_sample, "Draw rows from a fitted model.")
    sample.add_argument("-n", type=int, default=100, help="rows (default: 100)")
    sample.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")

    encode = command(_encode, "Mean and standard deviation of q(z | x) for each row.")
    reconstruct = command(_reconstruct, "Each row as the model sees it.")
    for added in (evaluate, sample, encode, reconstruct):
        added.add_argument("run", type=Path, help="folder of a fitted model")
    for added in (evaluate, encode, reconstruct):
        added.add_argument("--data", help="all rows of this file, or its test rows, instead of the run's own test rows")
    for added in (sample, encode, reconstruct):
        added.add_argument("--output", type=Path, required=True, help="a .npz file, or .npy for the first array")
    for added in (fit, evaluate, encode, reconstruct):
        example = "fit.epochs=10" if added is fit else "evaluate.num_particles=5000"
        help_text = f"override one field of the description, for example {example}; may be repeated"
        added.add_argument("--set", action="append", default=[], metavar="A.B=C", help=help_text)

    schema = command(_schema, "Print the JSON Schema of a description.")
    schema.set_defaults(json=True)
    return parser


def _fit(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment import check_rows, evaluate, hold_out, make_vae, read_source, table
    from pyro_vae.outputs import EXPERIMENT, files_of, write_json, write_run
    from pyro_vae.training import fit, save
    from pyro_vae.training.checkpoint import SPEC, WEIGHTS, whole_files

    experiment = _experiment(options)
    rows = read_source(experiment.data, experiment.data_shape)
    folder = options.output or Path("runs") / rows.name
    _require_free(folder, options.overwrite)
    held, vae = hold_out(rows, experiment.data), make_vae(experiment, rows.train)
    check_rows(vae, rows, experiment.data.source)
    say(_heading(experiment, held, vae))
    chosen = experiment.fit.model_dump()
    if held.splits.valid is not None:
        chosen["validation"] = held.splits.valid
    run = fit(vae, held.splits.train, **chosen)
    if not run.history:
        raise KeyboardInterrupt(" before an epoch was finished; nothing is saved")
    save(vae, folder, overwrite=options.overwrite)
    for file in files_of(folder):  # of the run that is replaced
        file.unlink()
    seconds, best = sum(row["seconds"] for row in run.history), run.best_epoch
    epochs = f"{len(run.history)} epoch{'s' * (len(run.history) > 1)}"
    say(f"trained {epochs} in {seconds:.0f} s; the weights of epoch {best} are saved in {folder}\n")
    metrics, found = evaluate(vae, held.test, experiment.evaluate)
    say(table(metrics))
    with whole_files(folder) as draft:
        write_json(draft / EXPERIMENT, experiment.model_dump(mode="json", exclude_unset=True))
        write_run(draft, run, held, metrics, found)
    files = [str(file) for file in (folder / SPEC, folder / WEIGHTS, *files_of(folder))]
    say("\nfiles\n" + "\n".join(f"  {file}" for file in files))
    return {"metrics": metrics, "best_epoch": run.best_epoch, "interrupted": run.interrupted, "files": files}


def _require_free(folder: Path, overwrite: bool) -> None:
    """Raise ValueError where the folder holds a run, or files that a run would replace."""
    from pyro_vae.outputs import files_of
    from pyro_vae.training.checkpoint import require_free

    require_free(folder, overwrite=overwrite)
    if not overwrite and (files := files_of(folder)):
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{folder}: holds {names}; choose another folder, or overwrite them (overwrite=True)")


def _heading(experiment: "Experiment", held: "Held", vae: "VAE") -> str:
    import torch

    from pyro_vae.training.options import choose_device

    device, splits = choose_device(experiment.fit.device), held.splits
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' * (count > 1)}" if device.type == "cpu" else ""
    valid = f"{len(splits.valid)} to choose the best epoch, " if splits.valid is not None else ""
    rows = f"{len(splits.train)} rows to fit, {valid}{len(held.test)} held out"
    return f"pyro-vae {__version__}   {device}{threads}\n\n{splits.name}: {rows}\n{vae}\n"


def _evaluate(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis.bridge import written_whole
    from pyro_vae.analysis.importance import require_density
    from pyro_vae.experiment import evaluate, table
    from pyro_vae.outputs import write_evidence

    _check_output(options.output, ".csv")
    vae, experiment, rows = _fitted(options)
    if options.output is not None:
        require_density(vae)
    metrics, found = evaluate(vae, rows, experiment.evaluate)
    say(table(metrics))
    if options.output is not None and found is not None:
        with written_whole(options.output) as draft:
            write_evidence(draft, found)
        say(f"\n{options.output}: log p(x), its standard error and k-hat of each row")
    return {"metrics": metrics}


def _sample(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import sample
    from pyro_vae.training import load

    _check_output(options.output, ".npz", ".npy")
    drawn = sample(load(options.run), options.n, seed=options.seed)
    return _write_arrays(options.output, say, {"x": drawn.x, "z": drawn.z, "mean": drawn.mean})


def _encode(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import encode

    _check_output(options.output, ".npz", ".npy")
    vae, _, rows = _fitted(options)
    codes = encode(vae, rows)
    return _write_arrays(options.output, say, {"loc": codes.loc, "scale": codes.scale})


def _reconstruct(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import reconstruct

    _check_output(options.output, ".npz", ".npy")
    vae, _, rows = _fitted(options)
    return _write_arrays(options.output, say, {"x": reconstruct(vae, rows)})


def _schema(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment import Experiment

    return Experiment.model_json_schema()


def _fitted(options: argparse.Namespace) -> "tuple[VAE, Experiment, Any]":
    """The model of a run, the description of the run, and the rows that are asked about."""
    from pyro_vae.experiment import Experiment, check_rows, hold_out, override, read_source
    from pyro_vae.outputs import EXPERIMENT
    from pyro_vae.spec import read
    from pyro_vae.training import load

    tables = {"evaluate", "data"} if options.data else {"evaluate"}
    for setting in options.set:
        if setting.partition(".")[0] not in tables:
            allowed = " or ".join(f"{name}.NAME=VALUE" for name in sorted(tables))
            raise ValueError(f"--set: expected {allowed} for a fitted model, got {setting!r}; fit another model")
    vae = load(options.run)
    fields = read(options.run / EXPERIMENT) if (options.run / EXPERIMENT).exists() else {}
    if options.data is not None:
        fields["data"] = {**_table(fields.get("data", {})), "source": options.data}
    elif "data" not in fields:
        raise ValueError(f"{options.run}: holds a model without a description of its data; pass --data")
    experiment = Experiment.model_validate(override(fields, options.set))
    rows = read_source(experiment.data, vae.spec.data_shape)
    if options.data is None:
        return vae, experiment, hold_out(rows, experiment.data).test
    check_rows(vae, rows, options.data)
    return vae, experiment, rows.train if rows.test is None else rows.test


def _table(value: Any) -> dict[str, Any]:
    return {"source": value} if isinstance(value, str) else value


def _check_output(path: Path | None, *suffixes: str) -> None:
    """Raise ValueError, before any work, where the file can't be written later."""
    if path is not None and path.suffix not in suffixes:
        raise ValueError(f"--output: expected a {' or '.join(suffixes)} file, got {path}")
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"--output: expected an existing folder, got {path.parent}; make the folder first")


def _write_arrays(path: Path, say: Say, arrays: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from pyro_vae.analysis.bridge import written_whole

    shapes = {name: list(array.shape) for name, array in arrays.items()}
    first = next(iter(arrays))
    with written_whole(path) as draft, draft.open("wb") as stream:
        if path.suffix == ".npz":
            np.savez_compressed(stream, **arrays)
        else:
            np.save(stream, arrays[first])
            shapes = {first: shapes[first]}
    say(f"{path}: " + ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items()))
    return {"file": os.fspath(path), "shapes": shapes}


def _experiment(options: argparse.Namespace) -> "Experiment":
    """The description that the arguments name: a file, or data with defaults, or the digits."""
    from pyro_vae.experiment import DIGITS, Experiment, override
    from pyro_vae.spec import read

    source = options.source
    if source is None or source == "digits":
        fields = dict(DIGITS) if options.data is None else {}
    elif Path(source).suffix in {".toml", ".json"}:
        fields = read(Path(source))
    else:
        fields = {"data": source}
    if options.data is not None:
        fields["data"] = {**_table(fields.get("data", {})), "source": options.data}
    return Experiment.model_validate(override(fields, options.set))

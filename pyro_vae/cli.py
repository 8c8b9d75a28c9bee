"""The command `pyro-vae`."""

import argparse
import json
import os
import sys
import tomllib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae import __version__

if TYPE_CHECKING:
    from pyro_vae.experiment import Experiment, Held
    from pyro_vae.vae import VAE

Say = Callable[[str], None]
EXPERIMENT = "experiment.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad input, 1 another failure, 130 interrupted."""
    options = _parser().parse_args(arguments)
    say: Say = (lambda text: None) if options.json else (lambda text: print(text, flush=True))
    warnings.simplefilter("default")
    warnings.showwarning = lambda message, *_: print(f"pyro-vae: {message}", file=sys.stderr)
    try:
        result: dict[str, Any] = options.command(options, say)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except ValueError as error:
        return _fail(_sentence(error), 2)
    except OSError as error:
        return _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    if options.json:
        print(json.dumps(result, indent=2))
    return 130 if result.get("interrupted") else 0


def _fail(message: str, status: int) -> int:
    print(f"pyro-vae: {message}", file=sys.stderr)
    return status


def _sentence(error: ValueError) -> str:
    """A pydantic error as lines `path: what is wrong`; any other as it is."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "\n  ".join(
        f"{'.'.join(map(str, found['loc']))}: {found['msg']}".removeprefix(": ") for found in error.errors()
    )


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
    evaluate.add_argument("--output", type=Path, help="also write one line a row to this .csv file")

    sample = command(_sample, "Draw rows from a fitted model.")
    sample.add_argument("-n", type=int, default=100, help="rows (default: 100)")
    sample.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")

    encode = command(_encode, "Mean and standard deviation of q(z | x) for each row.")
    reconstruct = command(_reconstruct, "Each row as the model sees it.")
    for added in (evaluate, sample, encode, reconstruct):
        added.add_argument("run", type=Path, help="folder of a fitted model")
    for added in (evaluate, encode, reconstruct):
        added.add_argument("--data", help="rows of this file instead of the run's own test rows")
    for added in (sample, encode, reconstruct):
        added.add_argument("--output", type=Path, required=True, help="a .npz or .npy file")
    for added in (fit, evaluate, encode, reconstruct):
        added.add_argument(
            "--set", action="append", default=[], metavar="A.B=C", help="override one field of the description"
        )

    schema = command(_schema, "Print the JSON Schema of a description.")
    schema.set_defaults(json=True)
    return parser


def _fit(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment import evaluate, make_vae, read_data, table
    from pyro_vae.outputs import write_json, write_run
    from pyro_vae.training import fit, save
    from pyro_vae.training.checkpoint import require_free, whole_files

    experiment = _experiment(options)
    held = read_data(experiment.data, experiment.data_shape)
    folder = options.output or Path("runs") / held.splits.name
    require_free(folder, overwrite=options.overwrite)
    vae = make_vae(experiment, held.splits.train)
    say(_heading(experiment, held, vae))
    chosen = experiment.fit.model_dump()
    if held.splits.valid is not None:
        chosen["validation"] = held.splits.valid
    run = fit(vae, held.splits.train, **chosen)
    save(vae, folder, overwrite=options.overwrite)
    seconds = sum(row["seconds"] for row in run.history)
    say(f"trained  {len(run.history)} epochs in {seconds:.0f} s; the weights of epoch {run.best_epoch} are kept\n")
    metrics, found = evaluate(vae, held.test, experiment.evaluate)
    say(table(metrics))
    with whole_files(folder) as draft:
        write_json(draft / EXPERIMENT, experiment.model_dump(mode="json", exclude_unset=True))
        write_run(draft, run, held, metrics, found)
    files = sorted(str(file) for file in folder.iterdir())
    say("\nfiles\n" + "\n".join(f"  {file}" for file in files))
    return {"metrics": metrics, "best_epoch": run.best_epoch, "interrupted": run.interrupted, "files": files}


def _heading(experiment: "Experiment", held: "Held", vae: "VAE") -> str:
    import torch

    from pyro_vae.training.options import choose_device

    device, splits = choose_device(experiment.fit.device), held.splits
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    valid = f"{len(splits.valid)} validation, " if splits.valid is not None else ""
    rows = f"{len(splits.train)} rows to fit, {valid}{len(held.test)} held out"
    return f"pyro-vae {__version__}   {device}{threads}\n\n{splits.name}: {rows}\n{vae}\n"


def _evaluate(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis.bridge import written_whole
    from pyro_vae.experiment import evaluate, table
    from pyro_vae.outputs import write_evidence

    vae, experiment, rows = _fitted(options)
    metrics, found = evaluate(vae, rows, experiment.evaluate)
    say(table(metrics))
    if options.output is not None and found is not None:
        with written_whole(options.output) as draft:
            write_evidence(draft, found)
    return {"metrics": metrics}


def _sample(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import sample
    from pyro_vae.training import load

    drawn = sample(load(options.run), options.n, seed=options.seed)
    return _write_arrays(options.output, say, {"x": drawn.x, "z": drawn.z, "mean": drawn.mean})


def _encode(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import encode

    vae, _, rows = _fitted(options)
    codes = encode(vae, rows)
    return _write_arrays(options.output, say, {"loc": codes.loc, "scale": codes.scale})


def _reconstruct(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import reconstruct

    vae, _, rows = _fitted(options)
    return _write_arrays(options.output, say, {"x": reconstruct(vae, rows)})


def _schema(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment import Experiment

    return Experiment.model_json_schema()


def _fitted(options: argparse.Namespace) -> "tuple[VAE, Experiment, Any]":
    """The model of a run, the description of the run, and the rows that are asked about."""
    from pyro_vae.experiment import Experiment, read_data
    from pyro_vae.spec import read
    from pyro_vae.training import load

    vae = load(options.run)
    fields = read(options.run / EXPERIMENT) if (options.run / EXPERIMENT).exists() else {}
    if options.data is not None:
        fields["data"] = {**_table(fields.get("data", {})), "source": options.data}
    elif "data" not in fields:
        raise ValueError(f"{options.run}: holds a model without a description of its data; pass --data")
    experiment = Experiment.model_validate(_override(fields, options.set))
    return vae, experiment, read_data(experiment.data, vae.spec.data_shape).test


def _table(value: Any) -> dict[str, Any]:
    return {"source": value} if isinstance(value, str) else value


def _write_arrays(path: Path, say: Say, arrays: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from pyro_vae.analysis.bridge import written_whole

    if path.suffix not in {".npz", ".npy"}:
        raise ValueError(f"{path}: expected a .npz or .npy file, got suffix {path.suffix!r}")
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
    from pyro_vae.experiment import DIGITS, Experiment
    from pyro_vae.spec import read

    source = options.source
    if source is None or source == "digits":
        fields = dict(DIGITS) if options.data is None else {}
    elif Path(source).suffix in {".toml", ".json"}:
        fields = read(source)
    else:
        fields = {"data": source}
    if options.data is not None:
        fields["data"] = {**_table(fields.get("data", {})), "source": options.data}
    return Experiment.model_validate(_override(fields, options.set))


def _override(fields: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`fields` with each `a.b=c` put in; c is read as TOML, and as a string where it isn't TOML."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise ValueError(f"--set: expected A.B=C, got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, last = path.split(".")
        fields = target = dict(fields)
        for name in tables:
            inner = target.get(name, {})
            named = {"source": inner} if name == "data" else {"kind": inner}
            target[name] = target = named if isinstance(inner, str) else dict(inner)
        target[last] = value
    return fields

"""Fit a model, evaluate it on held-out rows, and write model, numbers and pictures."""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import Say, path, require_writable, takes_settings, with_source
from pyro_vae.distributed.launch import launched_first
from pyro_vae.version import __version__

if TYPE_CHECKING:
    from pyro_vae.data import Splits
    from pyro_vae.experiment.description import Experiment
    from pyro_vae.experiment.splits import Held
    from pyro_vae.training import Run
    from pyro_vae.vae import VAE


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        help="a description (.toml, .json) or data; by default the bundled digits",
    )
    parser.add_argument("--data", help="the data of a description, or another file")
    parser.add_argument(
        "--output", type=path, help="folder of the run (default: runs/NAME OF THE DATA)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in that folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was killed before its end"
    )
    takes_settings(parser, "fit.epochs=10")


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.distributed.process_group import world_size
    from pyro_vae.experiment.evaluation import evaluate, table
    from pyro_vae.experiment.run_folder import files_of, write_run
    from pyro_vae.experiment.splits import read_source
    from pyro_vae.saving import SPEC, WEIGHTS

    experiment = _experiment(options)
    rows = read_source(experiment.data, experiment.data_shape)
    folder = options.output or Path("runs") / rows.name
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    if launched_first():
        _require_free(folder, unfinished, options)
        if options.overwrite and not options.resume:
            unfinished.unlink(missing_ok=True)
    experiment, held, vae, heading = _prepared(experiment, rows)
    say(heading + (f"\ngoes on from {unfinished}\n" if options.resume else ""))
    chosen = experiment.fit.model_dump()
    if held.splits.valid is not None:
        chosen["validation"] = held.splits.valid
    chosen["checkpoint"] = unfinished if world_size() == 1 or options.resume else None
    done = _fit(vae, held.train, chosen)
    if not done.history:
        raise KeyboardInterrupt(" before an epoch was finished; nothing is saved")
    if launched_first():
        _save(vae, folder, unfinished, options.overwrite)
    say(f"{_trained(done, folder)}\n")
    metrics, found = evaluate(vae, held.test, experiment.evaluate)
    say(table(metrics, seconds=found.seconds if found else None))
    if launched_first():
        write_run(folder, experiment, done, held, metrics, found)
    files = [str(file) for file in (folder / SPEC, folder / WEIGHTS, *files_of(folder))]
    say("\nfiles\n" + "\n".join(f"  {file}" for file in files))
    return {
        "metrics": metrics,
        "best_epoch": done.best_epoch,
        "interrupted": done.interrupted,
        "files": files,
    }


def _fit(vae: "VAE", rows: Any, chosen: dict[str, Any]) -> "Run":
    """The run of `fit`, whose warning of the baseline is left to the summary."""
    from pyro_vae import training

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit: the (validation|training) ELBO")
        return training.fit(vae, rows, **chosen)


def _experiment(options: argparse.Namespace) -> "Experiment":
    """The description that the arguments name: a file, or data with defaults, or the digits."""
    from pyro_vae.experiment.description import DIGITS, Experiment, override
    from pyro_vae.spec import read

    source = options.source
    if source is None or source == "digits":
        fields = dict(DIGITS) if options.data is None else {}
    elif Path(source).suffix in {".toml", ".json"}:
        fields = read(Path(source))
    else:
        fields = {"data": source}
    return Experiment.model_validate(override(with_source(fields, options.data), options.set))


def _prepared(experiment: "Experiment", rows: "Splits") -> "tuple[Experiment, Held, VAE, str]":
    """The experiment with what its rows decide, the rows held out and checked, the model, and what
    is said of them.
    """
    from pyro_vae.experiment.description import make_vae, settled
    from pyro_vae.experiment.splits import check_rows, hold_out, seen

    splits = (part for part in (rows.train, rows.valid, rows.test) if part is not None)
    whole, why = settled(experiment, *splits)
    held, vae = hold_out(rows, experiment.data), make_vae(whole, rows.train)
    check_rows(vae, rows, experiment.data.source, grey=experiment.fit.binarize == "dynamic")
    held = replace(held, splits=replace(held.splits, test=seen(held.test, experiment)))
    heading = _heading(experiment, held, vae) + _chosen(vae, why)
    described = (
        experiment if experiment.open_kind is None else whole
    )  # what is left open is a default, and stays one
    return described, held, vae, heading


def _require_free(folder: Path, unfinished: Path, options: argparse.Namespace) -> None:
    """Raise ValueError where there is a run, or files that a run would replace, or no run to go on
    with.
    """
    from pyro_vae.experiment.run_folder import files_of
    from pyro_vae.saving import SPEC, require_free

    require_free(folder, overwrite=options.overwrite)
    if not options.overwrite and (files := files_of(folder)):
        names = ", ".join(file.name for file in files)
        raise ValueError(
            f"{folder}: holds {names}; choose another folder, or overwrite them (overwrite=True)"
        )
    require_writable(folder)
    require_writable(folder / SPEC)
    if options.resume and not unfinished.exists():
        raise ValueError(
            f"--resume: expected an unfinished run in {unfinished}, found none; leave --resume out"
        )
    if not options.resume and not options.overwrite and unfinished.exists():
        raise ValueError(
            f"{unfinished}: holds a run that was killed; go on with --resume, or replace it "
            "(--overwrite)"
        )


def _heading(experiment: "Experiment", held: "Held", vae: "VAE") -> str:
    import torch

    from pyro_vae.distributed.process_group import world_size
    from pyro_vae.training.options import choose_device

    device, splits = choose_device(experiment.fit.device), held.splits
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' * (count > 1)}" if device.type == "cpu" else ""
    valid = f"{len(splits.valid)} to choose the best epoch, " if splits.valid is not None else ""
    rows = f"{len(held.train)} rows to fit, {valid}{len(held.test)} held out"
    several = f"{world_size()} processes, each " if world_size() > 1 else ""
    return f"pyro-vae {__version__}   {several}{device}{threads}\n\n{splits.name}: {rows}\n{vae}\n"


def _chosen(vae: "VAE", why: str) -> str:
    """Why this likelihood, where the data decided, and how to take another."""
    from pyro_vae.experiment.natural_likelihood import FROM_MAXIMUM

    if not why:
        return ""
    likelihood = vae.spec.likelihood
    decided = FROM_MAXIMUM.get(likelihood.kind)
    size = f" with {decided} {likelihood.options()[decided]}" if decided else ""
    return f"likelihood {likelihood.kind}{size}: {why} (for another: --set likelihood=...)\n"


def _save(vae: "VAE", folder: Path, unfinished: Path, overwrite: bool) -> None:
    """Save the model, and remove what is left of the run that is replaced, and of this one before
    its end.
    """
    from pyro_vae.experiment.run_folder import files_of
    from pyro_vae.training import save

    save(vae, folder, overwrite=overwrite)
    for file in (unfinished, *files_of(folder)):
        file.unlink(missing_ok=True)


def _trained(done: "Run", folder: Path) -> str:
    """The summary of the run, and where its weights are."""
    first, *rest = done.summary().splitlines()
    return "\n".join(
        [f"trained {first.replace('weights are those', 'weights')} are saved in {folder}", *rest]
    )

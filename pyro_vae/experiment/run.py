"""One experiment as a whole: description, rows, model, training, evaluation, and its folder."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pyro_vae.analysis import Evidence
from pyro_vae.arguments import public
from pyro_vae.data import Splits
from pyro_vae.distributed.collectives import from_first
from pyro_vae.distributed.launch import launched_first
from pyro_vae.distributed.process_group import joined, watched
from pyro_vae.experiment.claim import claimed
from pyro_vae.experiment.description import (
    Experiment,
    chosen_rows,
    make_vae,
    settled,
)
from pyro_vae.experiment.divergence import diverged
from pyro_vae.experiment.evaluation import check_options, evaluate
from pyro_vae.experiment.fields import experiment_of, run_of
from pyro_vae.experiment.outcome import Outcome, Report, ended
from pyro_vae.experiment.own_rows import about_changed_rows
from pyro_vae.experiment.record import record
from pyro_vae.experiment.room import require_room
from pyro_vae.experiment.row_hashes import RowHashes
from pyro_vae.experiment.run_files import files_of
from pyro_vae.experiment.run_folder import (
    write_numbers,
    write_pictures,
    write_training,
)
from pyro_vae.experiment.run_text import heading, reason, training
from pyro_vae.experiment.sources import read_described
from pyro_vae.experiment.splits import ExperimentRows, as_modelled, check_rows, hold_out
from pyro_vae.experiment.target import Target, home_of
from pyro_vae.experiment.writing import Writing
from pyro_vae.saved_files import SPEC, WEIGHTS
from pyro_vae.saving import described, write_model
from pyro_vae.termination import Terminated
from pyro_vae.training import Run, fit
from pyro_vae.training.nonfinite import NotFiniteError
from pyro_vae.vae import VAE

Source = str | os.PathLike[str] | Mapping[str, Any] | Experiment | None


@public
def run(
    spec: Source = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    settings: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
    report: Report | None = None,
) -> Outcome:
    """Fit a model to described data, evaluate it on held-out rows, and write all of it to a folder.

    This is what the command `pyro-vae fit` does. The folder's `spec.json` describes the run
    completely: every option of model, data, training and evaluation with its value, also where it
    is a default; all seeds; the held-out share; a fingerprint of the rows; and the versions of the
    libraries. Such a folder is itself a `spec`: it is fitted anew as it was.

    Arguments:
        spec: a table {"data": ..., "prior": ..., "fit": {...}, ...}, an `Experiment`, a `.toml` or
            `.json` file, the folder of a run, or a file of data; by default the bundled digits.
        folder: where to write; by default `runs/NAME OF THE DATA`.
        settings: changes to single fields, such as "fit.epochs=10".
        overwrite: replace the run that the folder holds.
        resume: continue the run of this folder where it was ended: in its training, evaluation or
            writing. Where there is none it starts, and one that is complete is returned as it is.
            Another number of processes may go on with it.
        report: called with each paragraph of text as soon as it is known, such as `print`.

    Returns:
        The `Outcome`: model, training, metrics and log p(x).

    Raises:
        ValueError: a description that can't be fitted, rows that don't fit the model, a folder that
            holds another run or can't be written; all of it before training.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> home = tempfile.mkdtemp()
        >>> np.save(f"{home}/rows.npy", np.random.default_rng(0).normal(size=(60, 3)))
        >>> spec = {"data": f"{home}/rows.npy", "latent_dim": 1, "hidden_dims": (8,)}
        >>> settings = ["fit.epochs=2", "evaluate.num_particles=50"]
        >>> outcome = run(spec, f"{home}/run", settings=settings)
        >>> outcome.metrics["rows"], len(outcome.evidence.log_marginal)
        (12, 12)
    """
    say = report or _silent
    experiment = experiment_of(spec, settings)
    source = read_described(experiment)
    target = Target(home_of(folder, source.name), overwrite, resume)
    with joined(), watched(experiment.fit.timeout), ExitStack() as claim:
        note = from_first(lambda: _claimed(target, claim))
        if note:
            say(note)
        _say_changes(spec, settings, source, say)
        return _run(experiment, source, target, say)


def _claimed(target: Target, claim: ExitStack) -> str:
    """Claim the folder until the end of `claim`; a sentence where it was taken over."""
    note = claim.enter_context(claimed(target.folder))
    target.require_free()
    return note


def _say_changes(
    spec: Source, settings: Sequence[str], source: Splits, say: Report
) -> None:
    """Say it where a run is fitted again, and its rows have changed."""
    folder = run_of(spec)
    others = any(re.match(r"data\W", setting) for setting in settings)
    if folder is not None and not others:
        note = about_changed_rows(folder, source)
        if note:
            say(note)


def _run(
    experiment: Experiment, source: Splits, target: Target, say: Report
) -> Outcome:
    """Training, evaluation and files; what was saved of a run that is ended early goes on later."""
    experiment, rows, vae, why = _prepared(experiment, source)
    # before training: rows that can't be read fail here
    recorded = record(experiment, source)
    has_ended, continues = from_first(lambda: (target.has_ended, target.continues))
    if has_ended:
        target.require_same(described(vae, recorded))
        if launched_first():
            target.forget()  # it may have been killed after its last file
        return ended(experiment, target.folder, say)
    say(heading(experiment, rows, vae) + reason(vae, why))
    if continues:
        say(f"continues from {target.checkpoint}\n")
    check_options(vae, rows.test, experiment.evaluate)
    hashes = RowHashes.of(rows, source)
    from_first(lambda: require_room(target.folder, vae, experiment, rows))
    from_first(lambda: target.begin(described(vae, recorded)))
    try:
        trained = _fitted(vae, rows, experiment, target)
    except NotFiniteError as error:
        raise diverged(error, vae, rows, source, experiment, target) from error
    except BaseException as error:
        if launched_first():
            target.forget_where_nothing_was_saved()
        if isinstance(error, Terminated):
            raise _with_place(target) from None
        raise
    if launched_first():
        write_model(vae, target.folder, overwrite=True, run=recorded)
        target.replace_former()
    try:
        return _evaluated(trained, experiment, rows, hashes, target, say)
    except Terminated:
        raise _with_place(target) from None


def _with_place(target: Target) -> Terminated:
    """The end by SIGTERM, with what was saved."""
    if not target.checkpoint.exists():
        return Terminated(" before an epoch was finished; nothing is saved")
    return Terminated(f"; {target.folder} has what is done: continue it (resume=True)")


def _evaluated(
    trained: Run,
    experiment: Experiment,
    rows: ExperimentRows,
    hashes: RowHashes,
    target: Target,
    say: Report,
) -> Outcome:
    """Evaluation and files, each of which is written as soon as its content is known."""
    home = target.folder
    writing = Writing(home)
    if launched_first():
        write_training(writing, trained, hashes.write)
    say(f"{training(trained, home)}\n")
    metrics, evidence = evaluate(
        trained.vae, rows.test, experiment.evaluate, checkpoint=target.evaluation
    )
    evidence = _labelled(evidence, rows, experiment)
    outcome = Outcome(trained.vae, trained, metrics, evidence, experiment, home)
    if launched_first():
        write_numbers(writing, rows, metrics, evidence, experiment.evaluate)
    say(outcome.summary())
    if launched_first():
        write_pictures(writing, trained, rows)
        target.end(writing)
        writing.warn()
    files = (home / SPEC, home / WEIGHTS, *files_of(home))
    say("\nfiles\n" + "\n".join(f"  {file}" for file in files))
    return replace(outcome, files=files)


def _labelled(
    evidence: Evidence | None, rows: ExperimentRows, experiment: Experiment
) -> Evidence | None:
    """The evidence with the labels of the rows that were evaluated."""
    if evidence is None or rows.row_labels is None:
        return evidence
    chosen = chosen_rows(len(rows.test), experiment.evaluate)
    return replace(evidence, row_labels=tuple(rows.row_labels[chosen]))


def _silent(text: str) -> None:
    """The report where none is asked for."""


def _prepared(
    experiment: Experiment, source: Splits
) -> tuple[Experiment, ExperimentRows, VAE, str]:
    """The complete description, its rows, its model, and why the likelihood is what it is."""
    splits = [
        part for part in (source.train, source.valid, source.test) if part is not None
    ]
    schema = None if source.table is None else source.table.schema
    if source.context is not None:
        experiment = experiment.model_copy(update={"context": source.context})
    whole, why = settled(experiment, *splits, schema=schema)
    vae = make_vae(whole, source.train, schema)
    check_rows(vae, source, whole.data.source, grey=whole.fit.binarize == "dynamic")
    rows = hold_out(source, whole.data)
    test = as_modelled(rows.test, whole)
    rows = replace(rows, splits=replace(rows.splits, test=test))
    complete = whole.model_copy(update={"data_shape": vae.spec.data_shape})
    return complete, rows, vae, why


def _fitted(
    vae: VAE,
    rows: ExperimentRows,
    experiment: Experiment,
    target: Target,
) -> Run:
    """The training; its warning about the baseline is left to the summary."""
    options = experiment.fit.model_dump()
    if rows.splits.valid is not None:
        options["validation"] = rows.splits.valid
    options["checkpoint"] = target.checkpoint
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="fit: the (validation|training) .* below independent"
        )
        trained = fit(vae, rows.train, **options)
    if not trained.history:
        raise KeyboardInterrupt(" before an epoch was finished; nothing is saved")
    return trained

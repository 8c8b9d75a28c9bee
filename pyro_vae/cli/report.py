"""Write the report of a run: one HTML page with its verdict, numbers and pictures."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.asked import Asked, asked
from pyro_vae.cli.check import data_arguments
from pyro_vae.cli.remedies import as_arguments
from pyro_vae.cli.shared import (
    Say,
    check_output,
    path,
    refuse_rows_setting,
    takes_a_run,
    takes_data,
    takes_settings,
)
from pyro_vae.durations import in_seconds

if TYPE_CHECKING:
    import numpy as np

    from pyro_vae.data import Table
    from pyro_vae.page.subject import Subject

MOST_FITTED = 5000
"""Rows that the model was fitted to, for the baselines."""


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    takes_data(parser)
    parser.add_argument(
        "--output", type=path, help="the page, an .html file (default: RUN/report.html)"
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=500,
        help="a random subset of the rows (default: 500)",
    )
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.page.page import write_page
    from pyro_vae.saving import read_run

    if options.rows < 1:
        raise ValueError(f"--rows: expected at least 1, got {options.rows}")
    if options.output is None:
        # else the error would be one of --output, which wasn't passed
        read_run(options.run)
        options.output = options.run / "report.html"
    check_output(options, ".html")
    refuse_rows_setting(options)
    subject = subject_of(options)
    page = write_page(subject, options.output)
    megabytes = page.size / 1e6
    say(
        f"{page.file}: {megabytes:.1f} MB, in {in_seconds(page.seconds)} and "
        f"{in_seconds(page.evaluation_seconds)} for the evaluation of {len(subject.rows)} rows"
    )
    for name, reason in page.failed.items():
        say(f"the part '{name}' could not be made: {reason}")
    return {
        "file": str(page.file),
        "bytes": page.size,
        "seconds": page.seconds,
        "evaluation_seconds": page.evaluation_seconds,
        "failed": page.failed,
    }


def subject_of(options: argparse.Namespace) -> "Subject":
    """The model of a run with the rows and the records that a page needs."""
    import numpy as np

    from pyro_vae.experiment.run_files import HISTORY
    from pyro_vae.page.subject import Subject
    from pyro_vae.saving import read_run

    whole = asked(options)
    experiment = whole.experiment
    some = experiment.evaluate.model_copy(update={"rows": options.rows})
    chosen = experiment.model_copy(update={"evaluate": some})
    whole = replace(whole, experiment=chosen)
    found = whole.evaluated()
    table = None if found.own is None else found.own.splits.table
    labels = found.row_labels or tuple(found.row_numbers.tolist())
    return Subject(
        vae=found.vae,
        experiment=found.experiment,
        folder=options.run,
        recorded=read_run(options.run),
        rows=np.asarray(found.rows),
        row_labels=[" ".join(str(label).split()) for label in labels],
        classes=_classes(whole, found),
        columns=found.columns,
        table=table,
        fitted=_fitted(found),
        history=_history(options.run / HISTORY),
        about_rows=_about_rows(whole, found),
        remarks=_remarks(found, table),
        arguments=_arguments(options),
        data_arguments=data_arguments(options),
    )


def _classes(whole: Asked, found: Asked) -> "np.ndarray | None":
    """The known classes of the rows."""
    from pyro_vae.experiment.description import chosen_rows

    if whole.own is None or whole.own.labels is None:
        return None
    chosen = chosen_rows(len(whole.rows), found.experiment.evaluate)
    labels: np.ndarray = whole.own.labels[chosen]
    return labels


def _fitted(found: Asked) -> "np.ndarray | None":
    """Some rows that the model was fitted to, as it takes them, at random."""
    import numpy as np

    from pyro_vae.experiment.splits import as_modelled

    if found.own is None:
        return None
    random = np.random.default_rng(found.experiment.evaluate.seed)
    train = found.own.splits.train
    indices = found.own.indices
    if indices is None:
        indices = np.arange(len(train))
    if len(indices) > MOST_FITTED:
        indices = np.sort(random.choice(indices, MOST_FITTED, replace=False))
    return np.asarray(as_modelled(train[indices], found.experiment))


def _history(file: Path) -> list[dict[str, float]]:
    """A record for each epoch; none where there is no such file, or it isn't a history."""
    from pyro_vae.experiment.history import read_history
    from pyro_vae.training_curves import NEEDED

    try:
        history = read_history(file)
    except (OSError, TypeError, ValueError):
        return []
    is_complete = all(set(NEEDED) <= set(record) for record in history)
    return history if is_complete else []


def _about_rows(whole: Asked, found: Asked) -> list[str]:
    """Where the rows are from, and how many of them there are."""
    count = f"{len(found.rows)} of {len(whole.rows)}"
    if len(found.rows) == len(whole.rows):
        count = f"all {len(whole.rows)}"
    if whole.own is None:
        about = whole.about_fitted()
        return [f"The page is of {count} rows of `{whole.source}`: {about}."]
    source = found.experiment.data.source
    fitted = len(whole.own.train)
    return [
        f"`{source}`: {fitted} rows were for training and validation, and {len(whole.rows)} held "
        f"out. The page is of {count} held-out rows."
    ]


def _remarks(found: Asked, table: "Table | None") -> list[str]:
    """How the data were read, and what is odd about them."""
    from pyro_vae.data.inspection import oddities

    notes = list(found.notes)
    if found.own is not None:
        notes += found.own.splits.notes
    odd = oddities(table) if table is not None else []
    return [as_arguments(sentence) for sentence in dict.fromkeys((*notes, *odd))]


def _arguments(options: argparse.Namespace) -> list[str]:
    """The arguments that make this page again."""
    words = [str(options.run), *data_arguments(options)]
    words += ["--rows", str(options.rows), "--output", str(options.output)]
    for setting in options.set:
        if setting.startswith("evaluate."):
            words += ["--set", setting]
    return words

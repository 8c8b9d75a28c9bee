"""Show the columns of a table, what is odd about them, and a description to start from."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.remedies import as_arguments
from pyro_vae.cli.shared import Say, takes_settings

if TYPE_CHECKING:
    from pyro_vae.experiment.description import Experiment


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", help="a table: text of any delimiter, Parquet, Excel and others"
    )
    parser.add_argument(
        "--row",
        type=int,
        action="append",
        help="show the cells of this row instead, counted from 0; may be repeated",
    )
    takes_settings(parser, "data.delimiter=';'")


def _rows(
    options: argparse.Namespace, experiment: "Experiment", say: Say
) -> dict[str, Any]:
    """Some rows, cell by cell."""
    from pyro_vae.data.row_inspection import about_row
    from pyro_vae.experiment.sources import read_described

    source = read_described(experiment)
    count = len(source.train)
    if not all(0 <= number < count for number in options.row):
        raise ValueError(
            f"--row: expected numbers from 0 to {count - 1}, got "
            f"{', '.join(map(str, options.row))}"
        )
    columns = source.columns
    schema = None if source.table is None else source.table.schema
    if source.context is not None and schema is not None:  # rows end with it
        whole = (*schema.modelled, *source.context.table.modelled)
        schema = schema.model_copy(update={"columns": whole})
        columns = schema.names
    shown = {}
    for number in options.row:
        shown[number] = about_row(source.train, number, columns, schema)
        label = "" if source.labels is None else f" ({source.labels[number]!r})"
        say(f"{options.file}, row {number}{label}\n{shown[number]}\n")
    return {"rows": shown}


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.data.inspection import as_toml, oddities, summary
    from pyro_vae.data.missing_patterns import about_missing, missing_patterns
    from pyro_vae.experiment.fields import experiment_of
    from pyro_vae.experiment.sources import read_table_of

    experiment = experiment_of({"data": options.file}, options.set)
    if options.row:
        return _rows(options, experiment, say)
    table = read_table_of(experiment)
    odd = [as_arguments(sentence) for sentence in oddities(table)]
    toml = as_toml(table, options.file, options.set)
    say(f"{options.file}: {summary(table)}\n")
    missing = about_missing(table)
    if missing:
        say(f"{missing}\n")
    if odd:
        lines = "\n".join(f"  {one}" for one in odd)
        say(f"what to look at\n{lines}\n")
    name = Path(options.file).name.partition(".")[0]
    say(f"a description to start from, such as {name}.toml\n\n{toml}\n")
    say(f"then: pyro-vae fit {name}.toml")
    columns = [column.model_dump(mode="json") for column in table.schema.columns]
    reasons = [decision.why for decision in table.reasons]
    return {
        "rows": len(table),
        "columns": columns,
        "reasons": reasons,
        "missing": table.missing,
        "patterns": [asdict(pattern) for pattern in missing_patterns(table)],
        "notes": list(table.notes),
        "oddities": odd,
        "toml": toml,
    }

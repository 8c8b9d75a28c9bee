"""Show the columns of a table, what is odd about them, and a description to start from."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyro_vae.cli.remedies import as_arguments
from pyro_vae.cli.shared import Say, takes_settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", help="a table: text of any delimiter, Parquet, Excel and others"
    )
    takes_settings(parser, "data.delimiter=';'")


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.data.inspection import as_toml, oddities, summary
    from pyro_vae.data.missing_patterns import about_missing, missing_patterns
    from pyro_vae.experiment.fields import experiment_of
    from pyro_vae.experiment.sources import read_table_of

    experiment = experiment_of({"data": options.file}, options.set)
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

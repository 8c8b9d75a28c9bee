"""Estimate log p(x) of held-out rows under a fitted model."""

import argparse
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.asked import Asked, asked
from pyro_vae.cli.shared import (
    Say,
    check_output,
    path,
    takes_a_run,
    takes_data,
    takes_settings,
)
from pyro_vae.distributed.launch import launched_first

if TYPE_CHECKING:
    from pyro_vae.analysis import Evidence


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    takes_data(parser)
    parser.add_argument(
        "--output", type=path, help="also write log p(x) of each row to this .csv file"
    )
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis.fitted import require_density
    from pyro_vae.atomic_files import written_whole
    from pyro_vae.distributed.process_group import watched
    from pyro_vae.experiment.evaluation import evaluate, table
    from pyro_vae.experiment.run_folder import write_evidence

    check_output(options, ".csv")
    found = asked(options).evaluated()
    if options.output is not None:
        require_density(found.vae)
    with watched(found.experiment.fit.timeout):
        metrics, evidence = evaluate(found.vae, found.rows, found.experiment.evaluate)
    if options.output is not None and evidence is not None and launched_first():
        with written_whole(options.output) as draft:
            write_evidence(
                draft,
                evidence,
                found.row_numbers,
                labels=found.row_labels,
                fitted=found.were_fitted,
            )
    seconds = None if evidence is None else evidence.seconds
    results = table(metrics, held_out=found.source is None, seconds=seconds)
    say(f"{found.about_data()}{results}{_of_new_rows(found, evidence)}")
    if options.output is not None:
        say(f"\n{options.output}: log p(x), its standard error and k-hat of each row")
    result: dict[str, Any] = {"metrics": metrics}
    if found.source is not None:
        result["fitted_rows"] = found.fitted_count
    return result


def _of_new_rows(found: Asked, evidence: "Evidence | None") -> str:
    """A line on log p(x) of the rows that the model wasn't fitted to, where it was to others."""
    if evidence is None or found.were_fitted is None:
        return ""
    others = evidence.log_marginal[~found.were_fitted]
    if len(others) in (0, len(evidence.log_marginal)):
        return ""
    error = ""
    if len(others) > 1:
        error = f" ± {others.std(ddof=1) / len(others) ** 0.5:.2f}"
    return (
        f"\n  log p(x) of the {len(others)} rows that the model wasn't fitted to: "
        f"{others.mean():.2f}{error} nats per row"
    )

"""Fill the missing cells of a table, with draws or with means and most probable levels."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.asked import Asked, asked
from pyro_vae.cli.shared import (
    TABLES,
    Say,
    check_output,
    path,
    takes_a_run,
    takes_settings,
    write_arrays,
    write_table,
)

if TYPE_CHECKING:
    from pyro_vae.analysis import Imputation


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    parser.add_argument(
        "--data",
        required=True,
        help="the table with missing cells: all rows of this file",
    )
    parser.add_argument(
        "--output",
        type=path,
        required=True,
        help="the filled table, .csv or .parquet; or a .npy file for rows without names",
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=0,
        help="filled tables that are drawn, below each other, with their number in the column "
        ".imputation (default: one table of means and most probable levels)",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="also hide a tenth of the observed cells, and print how well they are found",
    )
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import impute

    check_output(options, *TABLES, ".npy")
    if options.draws < 0:
        raise ValueError(f"--draws: expected at least 0, got {options.draws}")
    found = asked(options)
    how = found.experiment.evaluate
    imputed = impute(
        found.vae,
        found.rows,
        num_imputations=options.draws,
        num_particles=how.num_particles,
        seed=how.seed,
        calibrate=options.calibrate,
    )
    imputed = _of_file(imputed, found)
    say(f"{found.about_data()}{imputed}")
    if imputed.calibration is not None:
        say(f"\n{imputed.calibration.to_dataframe().to_string(float_format='%.3f')}")
    written = _written(options, say, imputed)
    return {**written, **_totals(imputed)}


def _of_file(imputed: "Imputation", found: Asked) -> "Imputation":
    """The same with all columns of the file, also those that the model doesn't see."""
    from pyro_vae.analysis.imputation.tables import Holes
    from pyro_vae.experiment.sources import frame_of, is_table

    source = found.experiment.data
    schema = found.vae.spec.table
    holes = replace(imputed.holes, labels=found.row_labels)
    if schema is not None and is_table(source.source):
        frame, _ = frame_of(source)
        holes = Holes.of(frame, imputed.holes.numbers, schema, found.row_labels)
    return replace(imputed, holes=holes)


def _written(
    options: argparse.Namespace, say: Say, imputed: "Imputation"
) -> dict[str, Any]:
    """Write the filled table, or the drawn ones."""
    file = options.output
    if file.suffix not in TABLES:
        import numpy as np

        x = imputed.mean
        if options.draws:
            x = np.stack(imputed.completed)
        return write_arrays(file, say, {"x": np.asarray(x)})
    if imputed.holes.schema is None:
        raise ValueError(
            f"--output: expected a .npy file for rows without names of columns, got {file}"
        )
    if options.draws == 0:
        return write_table(file, say, imputed.mean)
    return write_table(file, say, _stacked(imputed.completed))


def _stacked(tables: Sequence[Any]) -> Any:
    """Tables below each other, with the number of each in the first column."""
    import narwhals as nw

    numbered = []
    for number, table in enumerate(tables, 1):
        frame = nw.from_native(table, eager_only=True)
        lines = frame.with_columns(nw.lit(number).alias(".imputation"))
        numbered.append(lines.select(".imputation", *frame.columns))
    whole = nw.concat(numbered)
    index = getattr(tables[0], "index", None)
    if type(index).__name__ == "RangeIndex":  # no labels, and not to be written
        whole = nw.maybe_reset_index(whole)
    return whole.to_native()


def _totals(imputed: "Imputation") -> dict[str, Any]:
    """What `--json` prints besides the file."""
    result: dict[str, Any] = {
        "imputed_cells": len(imputed.cells),
        "untrusted_share": imputed.untrusted_share,
    }
    if imputed.calibration is not None:
        lines = imputed.calibration.to_dataframe()
        result["calibration"] = {
            "factor": imputed.calibration.factor,
            "columns": lines.to_dict("index"),
        }
    return result

"""Pictures of missing cells, of pooled estimates and of unusual rows."""

from typing import Any

import numpy as np

from pyro_vae.analysis import Anomaly, Imputation, MissingMechanism, Pooled
from pyro_vae.analysis.figures.column_effects import column_excess, missing_curves
from pyro_vae.analysis.figures.forests import forest
from pyro_vae.analysis.figures.imputed_cells import (
    coverage_by_column,
    errors_by_column,
    imputation_intervals,
    intervals_by_cell,
)
from pyro_vae.analysis.figures.log_densities import k_hat_by_row, log_p_histograms
from pyro_vae.analysis.imputation.calibration import Calibrated
from pyro_vae.analysis.imputation.cells import LEVELS, MEDIAN
from pyro_vae.analysis.imputation.tables import Holes
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.results.answer import row_name
from pyro_vae.arguments import as_int
from pyro_vae.data import Table
from pyro_vae.data.frames import is_frame
from pyro_vae.plotting.layout import Layout, Panel, layout_of

LOW, HIGH = LEVELS.index(0.05), LEVELS.index(0.95)


@layout_of.register
def imputation_layout(
    found: Imputation, *, truth: Any = None, column: str | int | None = None
) -> Layout:
    """Intervals of imputed cells, over the truth where it is given; k-hat of each row."""
    panels: list[Panel] = []
    if np.isfinite(found.pareto_k).any():
        limit = khat_limit(np.maximum(found.found.num_particles, 2))
        panels.append(Panel(lambda axes: k_hat_by_row(axes, found.pareto_k, limit)))
    if found.calibration is not None:
        panels += layout_of(found.calibration).panels
    is_asked = truth is not None or column is not None
    # of categories alone there are the other panels; without any, the error says why
    if is_asked or not panels or not found.cells.is_category.all():
        panels.insert(0, _intervals_panel(found, truth, column))
    return Layout(panels, across=2)


def _intervals_panel(found: Imputation, truth: Any, column: str | int | None) -> Panel:
    if truth is None:
        return _cells_panel(found, column)
    return _truth_panel(found, truth, column)


def _chosen(found: Imputation, column: str | int | None) -> int:
    """The position of a column of numbers: the one that is asked for, or lacks most cells."""
    cells = found.cells
    numbers = cells.column[~cells.is_category]
    if not len(cells):
        raise ValueError(
            "plot: expected imputed cells, got none: no cell of the rows is missing; impute rows "
            "with holes"
        )
    if not numbers.size:
        raise ValueError(
            "plot: expected imputed cells of numbers, got none: categories have no intervals; see "
            "found.probabilities(column)"
        )
    if column is None:
        return int(np.bincount(numbers).argmax())
    position = _position(found, column)
    if position not in numbers:
        raise ValueError(
            f"column: expected one with imputed numbers, got {column!r}; leave it out for the one "
            "that lacks most"
        )
    return position


def _position(found: Imputation, column: str | int) -> int:
    names = list(found.holes.schema_names())
    if not isinstance(column, str):
        return as_int(column, "column", at_least=0)
    if column not in names:
        raise ValueError(
            f"column: expected one of {names}, or a position, got {column!r}"
        )
    return names.index(column)


def _name(found: Imputation, position: int) -> str:
    schema = found.holes.schema
    if schema is None:
        return f"x[{position}]"
    known = schema.modelled[position]
    unit = known.unit_and_origin
    return f"{known.name}, {unit}" if unit else known.name


def _offset(found: Imputation, position: int) -> float:
    schema = found.holes.schema
    return 0.0 if schema is None else float(schema.modelled[position].offset)


def _cells_panel(found: Imputation, column: str | int | None) -> Panel:
    """Intervals of the missing cells of one column, in its units."""
    position = _chosen(found, column)
    cells = found.cells
    own = cells.column == position
    offset = _offset(found, position)
    low, middle, high = (cells.quantiles[own, i] + offset for i in (LOW, MEDIAN, HIGH))
    seen = _flat(found.holes.numbers)[:, position] + offset
    unit = _name(found, position)
    return Panel(
        lambda axes: intervals_by_cell(
            axes, low, middle, high, observed=seen, unit=unit
        )
    )


def _truth_panel(found: Imputation, truth: Any, column: str | int | None) -> Panel:
    """Intervals over true values: of one column in its units, of several in their true sd."""
    position = _chosen(found, column)
    cells = found.cells
    true = _numbers(found, truth)
    own = ~cells.is_category
    if column is None:
        unit = "sd of the column"
        shift, scale = (each[cells.column[own]] for each in _moments(true))
    else:
        own &= cells.column == position
        unit = _name(found, position)
        shift, scale = -_offset(found, position), 1.0
    values = (true[cells.row[own], cells.column[own]] - shift) / scale
    ends = [(cells.quantiles[own, i] - shift) / scale for i in (LOW, MEDIAN, HIGH)]
    return Panel(lambda axes: imputation_intervals(axes, values, *ends, unit=unit))


def _moments(columns: np.ndarray) -> tuple[Any, Any]:
    """Mean and sd of the known cells of each column, (D,) and (D,); the sd of one value is 1."""
    known = np.ma.masked_invalid(columns)
    sd = known.std(0).filled(1.0)
    sd[np.ma.filled(np.ma.ptp(known, axis=0), 0.0) == 0] = 1.0
    return known.mean(0).filled(0.0), sd


def _numbers(found: Imputation, truth: Any) -> np.ndarray:
    """The rows without holes as numbers of the model, (n, D)."""
    holes = found.holes
    is_table = is_frame(truth) or isinstance(truth, Table)
    rows = holes.numbers if is_table else np.asarray(truth, dtype=np.float64)
    numbers = Holes.of(truth, rows, holes.schema, None).numbers
    if numbers.shape != holes.numbers.shape:
        raise ValueError(
            f"truth: expected the shape {holes.numbers.shape} of the imputed rows, got "
            f"{numbers.shape}; pass the same rows without holes"
        )
    return _flat(numbers)


def _flat(numbers: np.ndarray) -> np.ndarray:
    return numbers.reshape(len(numbers), -1).astype(np.float64)


@layout_of.register
def calibrated_layout(found: Calibrated) -> Layout:
    """Coverage of intervals of hidden cells, and their errors beside simple methods."""
    names = [str(name) for name in found.names]
    errors = {
        "model": found.error,
        "one normal": found.error_normal,
        "mean or mode": found.error_simple,
    }
    panels = [Panel(lambda axes: errors_by_column(axes, names, errors), height=4.0)]
    if not found.is_category.all():
        how = (found.coverage, found.hidden)
        panels.insert(
            0, Panel(lambda axes: coverage_by_column(axes, names, *how), height=4.0)
        )
    return Layout(panels)


@layout_of.register
def pooled_layout(found: Pooled) -> Layout:
    """Estimates with their 95 % intervals over completed tables."""
    names = [str(name) for name in found.labels()]
    ends = [found.interval()]
    xlabel = f"estimate, 95 % interval of {found.num_imputations} tables"
    height = 1.2 + 0.35 * len(names)
    return Layout(
        [
            Panel(
                lambda axes: forest(
                    axes, names, found.estimate, ends, reference=0.0, xlabel=xlabel
                ).set_ylabel("parameter"),
                height=height,
            )
        ]
    )


@layout_of.register
def mechanism_layout(found: MissingMechanism) -> Layout:
    """P(missing | x) of each column."""
    pairs = zip(found.column, found.level, strict=True)
    names = [
        f"{name}" if level is None else f"{name}[{level}]" for name, level in pairs
    ]
    curves = (found.intercept, found.slope)
    return Layout([Panel(lambda axes: missing_curves(axes, names, *curves))])


@layout_of.register
def anomaly_layout(found: Anomaly, *, row: int | None = None) -> Layout:
    """log p(x) of rows and of the reference; what makes the least likely row unusual."""
    sets = {"rows": found.log_marginal}
    if len(found.reference):
        sets["reference"] = found.reference
    panels = [Panel(lambda axes: log_p_histograms(axes, sets))]
    if found.shares is not None:
        worst = int(found.worst(1)[0]) if row is None else as_int(row, "row")
        if not 0 <= worst < len(found):
            raise ValueError(f"row: expected one from 0 to {len(found) - 1}, got {row}")
        rate = found.usual_rate - found.rate[worst]
        excess = np.append(found.excess[worst], rate)
        names = [*found.column_names, "unusual z"]
        name = row_name(found.row_labels, worst)
        panels.append(Panel(lambda axes: column_excess(axes, names, excess, row=name)))
    return Layout(panels)

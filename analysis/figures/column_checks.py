"""Posterior predictive checks: columns of drawn rows beside those of the data."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.counts import level_bars, rootogram
from pyro_vae.analysis.figures.ecdf import LEVEL, ecdf_with_band, known
from pyro_vae.analysis.figures.histograms import number_of_bins
from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import BLUE, dense

__all__ = [
    "column_check",
    "column_histogram",
    "columns_of",
    "kind_of_column",
]

Floats = npt.NDArray[np.float64]
Kind = Literal["real", "count", "level"]
DAY = np.timedelta64(1, "D")
EPOCH = np.datetime64("1970-01-01")
WHOLE = 40
"""Range of whole numbers up to which each has a bin of its own."""


def columns_of(
    table: Any, names: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The columns of a DataFrame of any library, or of an array of rows, by name.

    Arguments:
        table: a DataFrame, or rows (n, *data_shape).
        names: of the columns of an array, one for each number of a row.

    Returns:
        Name -> cells, (n,).

    Raises:
        ValueError: no rows, or another number of names.

    Example:
        >>> list(columns_of(np.zeros((3, 2)), ["age", "height"]))
        ['age', 'height']
    """
    named = getattr(table, "column_names", getattr(table, "columns", None))
    if named is not None and not callable(named):
        return {str(name): np.asarray(table[name]) for name in named}
    rows = dense(table)
    if rows.ndim < 2 or not rows.size:
        raise ValueError(
            f"columns: expected rows (n, *data_shape), got shape {rows.shape}; pass some"
        )
    flat = rows.reshape(len(rows), -1)
    given = [f"x[{i}]" for i in range(flat.shape[1])] if names is None else [*names]
    if len(given) != flat.shape[1]:
        raise ValueError(
            f"columns: expected {flat.shape[1]} names, got {len(given)}; give one for each column"
        )
    return dict(zip(given, flat.T, strict=True))


def kind_of_column(data: npt.ArrayLike, draws: npt.ArrayLike) -> Kind:
    """How a column is drawn: "level" for text, truth values and 0 and 1; "count"; else "real".

    Counts are whole numbers of at least 0, in the data and in the draws.

    Example:
        >>> kind_of_column([0, 1, 5], [2, 3]), kind_of_column([0, 1, 5], [2.5])
        ('count', 'real')
        >>> kind_of_column(["a"], ["b"])
        'level'
    """
    both = [_as_cells(data), _as_cells(draws)]
    if any(each.dtype.kind in "OUSb" for each in both):
        return "level"
    if any(each.dtype.kind in "mM" for each in both):
        return "real"
    values = np.concatenate([each.astype(np.float64).ravel() for each in both])
    finite = values[np.isfinite(values)]
    is_whole = (finite >= 0).all() and np.array_equal(finite, np.rint(finite))
    if not is_whole:
        return "real"
    return "level" if finite.size and finite.max() <= 1 else "count"


def column_check(
    axes: Axes,
    data: Any,
    draws: Any,
    *,
    name: str = "",
    kind: Kind | None = None,
    levels: Sequence[Any] = (),
    band: float = LEVEL,
) -> Axes:
    """Draw a column of the data beside draws of a model, in the picture that suits its kind.

    Real numbers have a distribution function with the band of the model, counts a hanging
    rootogram, levels bars with two standard errors.

    References:
        Visualization in Bayesian workflow (Gabry, Simpson, Vehtari, Betancourt, Gelman, 2019).

    Arguments:
        axes: to draw on.
        data: the cells, (n,), numbers, times, text or truth values; nan or None is missing.
        draws: those of drawn rows, (m,).
        name: of the column, with its unit; times are in days since the first of the data.
        kind: "real", "count" or "level"; None takes what `kind_of_column` says.
        levels: their order; others follow by size, or by their letters.
        band: the level of the band of real numbers.

    Returns:
        The axes.

    Raises:
        ValueError: no cell that is known, another kind.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = column_check(Figure().add_subplot(), ["a", "b"], ["a", "a"], name="grade")
        >>> [bar.get_height() for bar in axes.patches], axes.get_xlabel()
        ([np.float64(0.5), np.float64(0.5)], 'grade')
    """
    own = _as_cells(data)
    other = _as_cells(draws)
    chosen = kind_of_column(own, other) if kind is None else kind
    if chosen == "level":
        _levels(axes, own, other, levels)
    elif chosen == "count":
        rootogram(axes, own, other)
    elif chosen == "real":
        name = _reals(axes, own, other, name, band)
    else:
        raise ValueError(
            f"kind: expected 'real', 'count', 'level' or None, got {kind!r}; leave it out"
        )
    axes.set_xlabel(plain(name, 40))
    return axes


def column_histogram(axes: Axes, values: npt.ArrayLike, *, name: str = "") -> Axes:
    """Draw the histogram of one column, with area 1.

    Arguments:
        axes: to draw on.
        values: numbers, (n,); nan is missing.
        name: of the column, with its unit.

    Returns:
        The axes.

    Raises:
        ValueError: no number that is known.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = column_histogram(Figure().add_subplot(), [1.0, 2.0, 4.0], name="mm")
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('mm', 'density')
    """
    ordered = known(values)
    low, high = ordered[0], ordered[-1]
    is_whole = np.array_equal(ordered, np.rint(ordered)) and high - low <= WHOLE
    count = number_of_bins(len(ordered), least=5, most=30)
    edges = np.linspace(low, high if high > low else low + 1, count + 1)
    if is_whole:
        edges = np.arange(low, high + 2) - 0.5
    density, _ = np.histogram(ordered, edges, density=True)
    axes.stairs(density, edges, fill=True, color=BLUE, alpha=0.55)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=is_whole))
    axes.set(xlabel=plain(name, 40), ylabel="density")
    return axes


def has_known(column: Any) -> bool:
    """Whether a cell of a column can be drawn: None, nan, NaT and infinite numbers can't.

    Example:
        >>> has_known([np.nan, np.inf]), has_known([None, "a"])
        (False, True)
    """
    cells = _as_cells(column)
    if cells.dtype.kind == "f":
        return bool(np.isfinite(cells).any())
    return bool(_present(cells))


def nothing_known(axes: Axes, where: str, *, name: str = "") -> Axes:
    """Say on empty axes that a column has no known cell.

    Arguments:
        axes: to write on.
        where: what has none, such as "the data".
        name: of the column.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = nothing_known(Figure().add_subplot(), "the data", name="mass")
        >>> axes.texts[0].get_text().splitlines(), axes.get_xlabel()
        (['no known cell', 'in the data'], 'mass')
    """
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
    text = f"no known cell\nin {where}"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
    axes.set(xticks=[], yticks=[], xlabel=plain(name, 40))
    return axes


def _levels(
    axes: Axes, own: npt.NDArray[Any], other: npt.NDArray[Any], first: Sequence[Any]
) -> None:
    """Bars of levels, the named ones first."""
    present = [_present(each) for each in (own, other)]
    both = set(present[0]) | set(present[1])
    is_number = all(isinstance(one, int | float) for one in both)
    rest = sorted(both.difference(first), key=None if is_number else str)
    levels = [*first, *rest]
    position = {level: i for i, level in enumerate(levels)}
    numbers = [[position[one] for one in each] for each in present]
    names = [f"{one:g}" if isinstance(one, float) else str(one) for one in levels]
    level_bars(axes, numbers[0], numbers[1], names)


def _present(cells: npt.NDArray[Any]) -> list[Any]:
    """The cells that are not missing: None, nan, NaT and pandas' NA are."""
    return [one for one in cells.tolist() if not _is_missing(one)]


def _is_missing(cell: Any) -> bool:
    # pandas' NA has no truth value, and nan is not equal to itself
    return cell is None or type(cell).__name__ == "NAType" or bool(cell != cell)


def _as_cells(column: Any) -> npt.NDArray[Any]:
    """The cells of a column; objects that are all numbers or times become an array of these."""
    cells = np.asarray(column).ravel()
    present = _present(cells) if cells.dtype.kind == "O" else []
    if present and all(isinstance(one, datetime) for one in present):
        utc = [None if _is_missing(one) else _in_utc(one) for one in cells]
        return np.array(utc, "datetime64[us]")
    if present and all(_is_number(one) for one in present):
        return np.array([np.nan if _is_missing(one) else one for one in cells], float)
    return cells


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _in_utc(time: datetime) -> datetime:
    """A time of a zone in UTC, without a zone."""
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _reals(
    axes: Axes, own: npt.NDArray[Any], other: npt.NDArray[Any], name: str, band: float
) -> str:
    """Draw real numbers; times are days from the first of the data. The name with the unit."""
    if own.dtype.kind == "M":
        seen = own[~np.isnat(own)]
        first = min(seen, default=EPOCH).astype("datetime64[D]")
        name = f"{name}, days since {first}"
        own, other = own - first, other - first
    elif own.dtype.kind == "m":
        name = f"{name}, days"
    numbers = [each / DAY if each.dtype.kind == "m" else each for each in (own, other)]
    ecdf_with_band(axes, *numbers, level=band)
    return name

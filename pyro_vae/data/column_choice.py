"""From the cells of columns, and what was asked for, to the columns of a schema."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_vae.data.coding import levels_of, offset_of, unit_and_origin
from pyro_vae.data.columns import (
    CATEGORIES,
    CONSTANT,
    LABEL,
    LEFT_OUT,
    Column,
    Schema,
)
from pyro_vae.data.frames import Cells, native_dtype
from pyro_vae.data.kinds import UNNAMED, Decision, decide, is_label
from pyro_vae.data.names import shortened
from pyro_vae.data.natural_likelihood import FROM_MAXIMUM

OF_LEVELS = (*CATEGORIES, "bernoulli", "custom", "distribution")
"""Those whose values may be; of a user's own likelihood nothing is known."""
Kinds = Mapping[str, str | Mapping[str, Any]]


def asked_kinds(
    data: Any,
    columns: Sequence[str] | Kinds | None,
    drop: Sequence[str],
    index: str | None,
    name: str,
) -> tuple[list[str], dict[str, Any]]:
    """The columns to take, and the kinds that were asked for by name.

    Raises:
        ValueError: a name that the data don't have.
    """
    chosen = list(data.columns)
    kinds: dict[str, Any] = {}
    if isinstance(columns, Mapping):
        kinds = dict(columns)
    elif columns is not None:
        chosen = [columns] if isinstance(columns, str) else list(columns)
    asked = kinds | dict.fromkeys(drop, LEFT_OUT)
    if index is not None:
        asked[index] = LABEL
        chosen = [index, *(column for column in chosen if column != index)]
    require_known([*chosen, *asked], data.columns, name)
    return chosen, asked


def require_known(asked: Sequence[str], columns: Sequence[str], name: str) -> None:
    """Raise ValueError with the nearest name for one that isn't there."""
    unknown = [column for column in dict.fromkeys(asked) if column not in columns]
    if not unknown:
        return
    close = difflib.get_close_matches(str(unknown[0]), columns, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else "take some of these"
    raise ValueError(
        f"{name}: expected names of its columns {shortened(list(columns))}, got "
        f"{shortened(unknown)}; {remedy}"
    )


def require_present(data: Any, schema: Schema, name: str) -> None:
    """Raise ValueError where a column of the model is not in the data."""
    absent = [column for column in schema.names if column not in data.columns]
    if not absent:
        return
    close = difflib.get_close_matches(absent[0], data.columns, n=1)
    remedy = "add it" if len(absent) == 1 else "add them"
    if close:
        remedy = f"rename {close[0]!r} to {absent[0]!r}, or {remedy}"
    raise ValueError(
        f"{name}: expected the {len(schema.names)} columns of the model, got a table without "
        f"{shortened(absent)} (it has {shortened(data.columns)}); {remedy}"
    )


def index_of(
    frame: Any,
) -> tuple[tuple[Any, ...] | None, tuple[Column, Decision] | None]:
    """The labels in a pandas index that isn't 0, 1, 2, ..., and what describes them."""
    index = getattr(frame, "index", None)
    if index is None or callable(index) or type(index).__name__ == "RangeIndex":
        return None, None
    name = "row" if index.name is None else str(index.name)
    column = Column(name=name, kind=LABEL, dtype=str(index.dtype))
    return tuple(index), (column, Decision(LABEL, "the index of the DataFrame"))


def label_column(columns: Sequence[str], schema: Schema) -> str | None:
    """The column with the labels of the rows, for a model whose data had such a column.

    A column without a name is called in many ways: "" or "Unnamed: 0" by pandas, "rownames" in R.

    Example:
        >>> schema = Schema(columns=(Column(name="column 0", kind=LABEL),))
        >>> label_column(["Unnamed: 0", "mass"], schema)
        'Unnamed: 0'
    """
    label = schema.label
    if label is None or label in schema.names:
        return None
    if label in columns:
        return label
    if not _is_unnamed(label):
        return None
    others = [column for column in columns if column not in schema.names]
    unnamed = [column for column in others if _is_unnamed(column)]
    return unnamed[0] if len(unnamed) == 1 else None


def _is_unnamed(column: str) -> bool:
    """Whether a name stands for none: that of row names, or a position."""
    name = column.strip()
    return bool(UNNAMED.match(name) or re.fullmatch(r"column \d+", name))


def each_kind(likelihood: Any) -> Any:
    """A likelihood that each column can have by itself; None for `mixed`, objects and nothing.

    Example:
        >>> each_kind("student_t"), each_kind({"kind": "mixed", "columns": []})
        ('student_t', None)
    """
    kind = likelihood
    if isinstance(likelihood, Mapping):
        kind = likelihood.get("kind")
    if not isinstance(kind, str) or kind in {"mixed", "custom"}:
        return None
    return likelihood


def left_out(data: Any, column: str) -> tuple[Column, Decision]:
    made = Column(name=column, kind=LEFT_OUT, dtype=native_dtype(data[column]))
    return made, Decision(LEFT_OUT, "as asked")


def decision_of(
    cells: Cells,
    position: int,
    asked: str | Mapping[str, Any] | None,
    may_label: bool,
    whole: Decision | None,
) -> Decision:
    """The kind that was asked for, or the one that suits the cells."""
    if asked is not None:
        kind = asked if isinstance(asked, str) else str(asked.get("kind"))
        return Decision(kind, "as asked")
    if is_label(cells, position):
        if may_label:
            return Decision(LABEL, "different in each row")
        return Decision(LEFT_OUT, "different in each row, as the labels are")
    if whole is not None and cells.form == "number":
        return whole
    return decide(cells)


def described(
    cells: Cells,
    decision: Decision,
    asked: str | Mapping[str, Any] | None,
    name: str,
) -> Column:
    """The column as the schema keeps it: levels, units and offsets from its cells."""
    options = dict(asked) if isinstance(asked, Mapping) else {}
    options.pop("kind", None)
    levels = options.pop("levels", None)
    fields: dict[str, Any] = {
        "name": cells.name,
        "kind": decision.kind,
        "dtype": cells.dtype,
        "options": options,
    }
    if decision.kind in {LABEL, LEFT_OUT}:
        return Column(**fields)
    if decision.kind == CONSTANT:
        present = cells.values[~cells.missing]
        value = present[0].item()
        if cells.form == "category" and cells.levels is not None:
            value = cells.levels[int(value)]
        is_time = cells.form in {"time", "duration"}
        levels = None if is_time else (value,)
        return Column(**fields, levels=levels, ordered=cells.ordered)
    _require_possible(cells, decision.kind, levels, name)
    if decision.kind in CATEGORIES or cells.form == "category":
        found = levels_of(cells, cells.name, levels, name)
        return Column(**fields, levels=found, ordered=decision.kind == "ordinal")
    if cells.form in {"time", "duration"}:
        return Column(**fields, **unit_and_origin(cells))
    return Column(**fields, offset=offset_of(cells.moments, decision.kind))


def _require_possible(cells: Cells, kind: str, levels: Any, name: str) -> None:
    """Raise ValueError where cells can't have the kind that was asked for."""
    two_levels = kind == "bernoulli" and len(cells.levels or ()) == 2
    if cells.form == "category" and kind not in CATEGORIES and not two_levels:
        raise ValueError(
            f"{name}: column {cells.name!r}: likelihood {kind!r} needs numbers, got text or "
            f'categories ({cells.dtype}); take "categorical" or "ordinal", or leave it out: '
            f'drop=["{cells.name}"]'
        )
    is_unordered = cells.form == "category" and not cells.ordered
    if kind == "ordinal" and is_unordered and levels is None:
        known = shortened(cells.levels or ())
        raise ValueError(
            f"{name}: column {cells.name!r}: expected the order of its levels, "
            f"{known}; give it: "
            f'columns={{"{cells.name}": {{"kind": "ordinal", "levels": [...]}}}}'
        )


def of_kinds(schema: Schema, kinds: Sequence[str], name: str = "x") -> Schema:
    """The columns of a table with the kinds that a model was made with.

    Raises:
        ValueError: a column of levels whose positions the model would take for numbers.

    Example:
        >>> schema = Schema(columns=(Column(name="mass", kind="normal"),))
        >>> of_kinds(schema, ["laplace"]).columns[0].kind
        'laplace'
    """
    given = iter(kinds)
    columns = []
    for column in schema.columns:
        made = column
        if column.modelled:
            made = column.model_copy(update={"kind": next(given)})
        has_text = any(isinstance(level, str) for level in column.levels or ())
        if has_text and made.modelled and made.kind not in OF_LEVELS:
            raise ValueError(
                f"{name}: column {column.name!r}: likelihood {made.kind!r} needs numbers, got the "
                f"levels {shortened(column.levels or ())}; make the model from the table: "
                "VAE.from_data(table)"
            )
        columns.append(made)
    return schema.model_copy(update={"columns": tuple(columns)})


def with_totals(
    decided: Sequence[tuple[Column, Decision]], numbers: Sequence[np.ndarray]
) -> list[tuple[Column, Decision]]:
    """The columns, those of binomial counts with their largest count as the total.

    Arguments:
        decided: the columns, each with its decision.
        numbers: of the modelled ones, in their order.
    """
    modelled = iter(numbers)
    of_column = [next(modelled) if column.modelled else None for column, _ in decided]
    open_ones = [
        float(np.nanmax(values))
        for (column, _), values in zip(decided, of_column, strict=True)
        if values is not None and _lacks_total(column)
    ]
    made = []
    for column, decision in decided:
        if _lacks_total(column):
            total = {"total_count": max(1, int(max(open_ones)))}
            column = column.model_copy(update={"options": column.options | total})
        made.append((column, decision))
    return made


def _lacks_total(column: Column) -> bool:
    is_total = FROM_MAXIMUM.get(column.kind) == "total_count"
    return is_total and "total_count" not in column.options

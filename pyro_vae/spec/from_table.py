"""The fields of a model for a table: its columns, their kinds, and which of them are given."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pyro_vae.data import Schema, Table, table
from pyro_vae.data.column_choice import Kinds, each_kind, require_known
from pyro_vae.data.frames import cells_of, opened
from pyro_vae.data.names import shortened
from pyro_vae.described import plain
from pyro_vae.spec.column_kinds import require_kinds
from pyro_vae.spec.context import Context, kinds_of, names_of
from pyro_vae.spec.effect import RandomEffect, effect_options

CONTEXT_KINDS = ("normal", "categorical", "ordinal", "random_effect")
"""What a column of a context can be: a number, one of its levels, or the effect of its level."""


def of_table(
    data: Any,
    columns: Sequence[str] | Kinds | None,
    drop: Sequence[str],
    index: str | None,
    fields: Mapping[str, Any],
) -> tuple[Table, dict[str, Any]]:
    """The rows x of a table, and the fields of a model for it; see `VAE.from_data`.

    Raises:
        ValueError: a column of a kind that its cells can't have, or that isn't there.
    """
    if isinstance(columns, Mapping):
        require_kinds(columns)
    whole = dict(fields)
    context = whole.get("context")
    kinds = kinds_of(context) if isinstance(context, Mapping) else {}
    require_apart([*(columns or ()), *drop], kinds, "data")
    if kinds:
        frame = data.to_dataframe() if isinstance(data, Table) else data
        schema = context_schema(frame, kinds, "context")
        own = {"columns": names_of(context) or None, "table": schema}
        whole["context"] = {**plain(context), **own}
        if isinstance(data, Table):
            data = data.drop(list(kinds))
        else:
            data = opened(frame, "data").drop(list(kinds)).to_native()
    kind = each_kind(whole.get("likelihood"))
    how: dict[str, Any] = {"columns": columns, "drop": drop, "index": index}
    how["kind"] = kind
    rows = data
    if not isinstance(data, Table):
        rows = table(data, **how, name="data")
    elif any(how.values()):
        rows = table(data.to_dataframe(), **how, name="data")
    if kind is not None or "likelihood" not in whole:
        whole["likelihood"] = rows.schema.likelihood
    if rows.missing:
        whole.setdefault("missing", "at_random")
    return rows, whole


def require_apart(asked: Sequence[str], given: Collection[str], name: str) -> None:
    """Raise ValueError for a column that is asked for in x, and that the context has.

    Example:
        >>> require_apart(["mass"], ["island"], "data")
    """
    both = [column for column in asked if column in given]
    if both:
        raise ValueError(
            f"{name}: expected columns of x, got {shortened(both)}, which the context has; leave "
            "them out of columns and drop, or out of the context"
        )


def context_schema(frame: Any, columns: Sequence[str] | Kinds, name: str) -> Schema:
    """Kinds and levels of the columns of a context: text is categories, numbers are numbers.

    Arguments:
        frame: a DataFrame.
        columns: their names, or kinds by name: "normal", "categorical", "ordinal" or
            "random_effect".
        name: what messages call the columns.

    Raises:
        ValueError: a column that isn't there, or a kind that it can't have.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"age": [40, 50, 61], "batch": ["a", "b", "a"]})
        >>> [column.levels for column in context_schema(frame, ["age", "batch"], "context").columns]
        [None, ('a', 'b')]
    """
    data = opened(frame, name)
    names = names_of({"columns": columns})
    require_known(names, data.columns, name)
    asked = dict(plain(columns)) if isinstance(columns, Mapping) else {}
    kinds: dict[str, Any] = {column: asked.get(column) for column in names}
    for column in names:
        if kinds[column] is None:
            is_text = cells_of(data[column], name).form == "category"
            kinds[column] = "categorical" if is_text else "normal"
        wish = kinds[column]
        kind = wish.get("kind") if isinstance(wish, Mapping) else wish
        if kind not in CONTEXT_KINDS:
            raise ValueError(
                f"{name}: column {column!r}: expected one of {CONTEXT_KINDS}, got {kind!r}; a "
                "context has no likelihood"
            )
    effects = {
        column: _effect(wish, f"{name}: column {column!r}")
        for column, wish in kinds.items()
    }
    of_levels = {column: "categorical" for column, one in effects.items() if one}
    kinds |= of_levels
    schema = table(data.select(names).to_native(), columns=kinds, name=name).schema
    return _with_effects(schema, effects)


def _effect(wish: Any, place: str) -> RandomEffect | None:
    """The options of a random effect; what is wrong with them is said with its place."""
    try:
        return effect_options(wish)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _with_effects(schema: Schema, effects: Mapping[str, RandomEffect | None]) -> Schema:
    """The columns of a context, random effects among them with their options."""
    columns = []
    for column in schema.modelled:
        effect = effects[column.name]
        if effect is not None:
            options = effect.model_dump(exclude={"kind"})
            change = {"kind": effect.kind, "options": options}
            column = column.model_copy(update=change)
        columns.append(column)
    return schema.model_copy(update={"columns": tuple(columns)})


def completed(context: Context, frame: Any, name: str) -> Context:
    """The context of a description with the kinds and levels of its columns in a table."""
    described = context.model_dump()
    kinds = kinds_of(described)
    if context.table is not None or not kinds:
        return context
    schema = context_schema(frame, kinds, name)
    own = {"columns": names_of(described) or None, "table": schema}
    return context.model_copy(update=own)

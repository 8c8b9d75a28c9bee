"""What is given with each row: the field `context` of a description."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from pyro_vae.data import Schema
from pyro_vae.data.names import shortened
from pyro_vae.described import Described
from pyro_vae.networks.context import ContextFeatures, features_width

MOST = 10**6
"""Numbers in a context at most, so that a damaged description is refused before it is built."""


class Context(Described):
    """The context c of a row, which is given and has no density: p(x | c) = ∫ p(x | z, c) p(z | c).

    Example:
        >>> Context(dim=3, prior=False).levels
        (None, None, None)
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    dim: PositiveInt | None = Field(
        default=None,
        le=MOST,
        description="numbers of the context of a row, for arrays",
    )
    columns: tuple[str, ...] | dict[str, Any] | None = Field(
        default=None,
        description="names of columns of the table, or kinds by name: 'normal', 'categorical'",
    )
    prior: bool = Field(default=True, description="whether p(z | c) depends on it")
    encoder: bool = Field(default=True, description="whether q(z | x, c) depends on it")
    decoder: bool = Field(default=True, description="whether p(x | z, c) depends on it")
    layers: Literal["first", "all"] = Field(
        default="first", description="which layers of the networks take it"
    )
    embedding: PositiveInt | None = Field(
        default=None,
        description="length of the learned vector of a level; else one-hot",
    )
    table: Schema | None = Field(
        default=None, description="kinds and levels of the columns, found by from_data"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.dim is None and self.table is None and self.columns is None:
            raise ValueError(
                "expected how many numbers a context has, context={'dim': 3}, or the columns of a "
                "table, VAE.from_data(frame, context={'columns': [...]})"
            )
        if self.table is not None and self.dim not in (None, len(self.table.names)):
            raise ValueError(
                f"expected dim {len(self.table.names)}, the columns of the table, got {self.dim}; "
                "leave dim out"
            )
        if not (self.prior or self.decoder):
            raise ValueError(
                "expected prior = true or decoder = true, else p(x | c) doesn't depend on c; leave "
                "the context out"
            )
        return self

    @property
    def levels(self) -> tuple[int | None, ...]:
        """For each number of c how many levels it has; None for a number."""
        if self.table is None:
            return (None,) * (self.dim or 0)
        return tuple(
            None if column.levels is None else len(column.levels)
            for column in self.table.modelled
        )

    @property
    def size(self) -> int:
        """C, the numbers in a context."""
        return len(self.levels)

    @property
    def width(self) -> int:
        """The numbers in e(c), what networks get of a context."""
        return features_width(self.levels, self.embedding)

    def features(self) -> ContextFeatures:
        """A new e(c)."""
        return ContextFeatures(self.levels, self.embedding)


def known_context(value: Any) -> Any:
    """The field as it came, if it is a table or nothing.

    Raises:
        ValueError: another type, or no name among the columns.

    Example:
        >>> known_context({"dim": 3})
        {'dim': 3}
    """
    if value is None or isinstance(value, Context):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(
            "expected a table such as {'columns': ['batch', 'age']} or {'dim': 3}, got "
            f"{value!r}"
        )
    if value.get("columns") in ([], (), {}):
        raise ValueError(
            "expected names of columns, got none; name some, or leave the context out"
        )
    return value


def require_context(spec: Any) -> None:
    """Raise ValueError where parts of a description can't take its context."""
    context = spec.context
    if context is None:
        return
    if context.prior and spec.prior.kind != "standard_normal":
        raise ValueError(
            "context: expected prior 'standard_normal', which becomes N(μ(c), diag σ(c)²), got "
            f"{spec.prior.kind!r}; take this one, or context={{..., 'prior': False}}"
        )
    if context.layers == "first":
        return
    for slot in ("encoder", "decoder"):
        if getattr(context, slot) and getattr(spec, slot).kind != "mlp":
            raise ValueError(
                f"context: layers 'all' expects {slot} 'mlp', got {getattr(spec, slot).kind!r}; "
                "take layers 'first'"
            )


def require_no_context(context: Context | None, module: Any) -> None:
    """Raise ValueError where a part that calls other parts would call them without a context."""
    if context is not None:
        raise ValueError(
            "context: expected priors and guides that call no other part of the model, got "
            f"{type(module).__name__}, which would call it without a context; take another"
        )


def require_size(context: Context | None) -> None:
    """Raise ValueError where columns are named, of which no levels and kinds are known."""
    if context is not None and not context.levels:
        names = shortened(list(context.columns or ()))
        raise ValueError(
            f"context: expected a table with the columns {names}, of which levels and kinds are "
            "taken; make the model from it: VAE.from_data(frame, context={'columns': [...]})"
        )


def names_of(context: Any) -> tuple[str, ...]:
    """The names of the columns that a description takes as context; empty for none.

    Example:
        >>> names_of({"columns": ["batch", "age"]}), names_of({"dim": 3}), names_of(None)
        (('batch', 'age'), (), ())
    """
    columns = context.get("columns") if isinstance(context, Mapping) else None
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else tuple(columns)

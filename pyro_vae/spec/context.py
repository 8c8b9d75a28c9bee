"""What is given with each row: the field `context` of a description."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    model_validator,
)

from pyro_vae.data import Schema
from pyro_vae.data.names import shortened
from pyro_vae.described import Described
from pyro_vae.hooks import BindsPrograms, RefinesProposal
from pyro_vae.networks.context import ContextFeatures, features_width
from pyro_vae.spec.effect import Effect, effect_options
from pyro_vae.spec.label import Label, as_label

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
        description="names of columns of the table, or kinds by name: 'normal', 'categorical', "
        "'random_effect'",
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
    independence: NonNegativeFloat = Field(
        default=0.0,
        description="nats of the loss at full dependence of z and the context, by kernel "
        "alignment; 0: not asked",
    )
    label: Annotated[Label | None, BeforeValidator(as_label)] = Field(
        default=None,
        description="a class that may be unknown, the last number of a context",
    )
    table: Schema | None = Field(
        default=None, description="kinds and levels of the columns, found by from_data"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        named = (self.dim, self.table, self.columns, self.label)
        if all(one is None for one in named):
            raise ValueError(
                "expected how many numbers a context has, context={'dim': 3}, or the columns of a "
                "table, VAE.from_data(frame, context={'columns': [...]})"
            )
        if self.table is not None and self.dim not in (None, len(self.table.names)):
            raise ValueError(
                f"expected dim {len(self.table.names)}, the columns of the table, got {self.dim}; "
                "leave dim out"
            )
        is_number = self.label is not None and self.label.column is None
        if is_number and self.columns:
            raise ValueError(
                "label: expected the name of a column beside columns, label={'column': 'species'}, "
                "got the number of classes; name the column, or leave columns out"
            )
        if self.label is not None and self.table is not None:
            levels = self.table.modelled[-1].levels if self.table.modelled else None
            if levels is None or len(levels) < 2:
                raise ValueError(
                    f"label: expected a column with at least two levels, got {list(levels or ())}; "
                    "take rows of at least two classes, or leave the label out"
                )
        if self.independence and self.label is not None:
            raise ValueError(
                "expected independence of a context without a label, whose unknown values are "
                "summed out, got both; leave one of them out"
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
            own: tuple[int | None, ...] = (None,) * (self.dim or 0)
            classes = self.label.classes if self.label is not None else None
            return own if classes is None else (*own, classes)
        return tuple(
            None if column.levels is None else len(column.levels)
            for column in self.table.modelled
        )

    @property
    def classes(self) -> int | None:
        """K, how many classes the label has; None without a label."""
        return self.levels[-1] if self.label is not None else None

    @property
    def size(self) -> int:
        """C, the numbers in a context."""
        return len(self.levels)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The columns whose levels are random effects."""
        found = []
        for position, column in enumerate(self.table.modelled if self.table else ()):
            options = effect_options({**column.options, "kind": column.kind})
            if options is not None:
                dim = options.dim or self.embedding or 1
                count = len(column.levels or ())
                effect = Effect(column.name, position, count, dim, options.scale)
                found.append(effect)
        return tuple(found)

    @property
    def resolved_levels(self) -> tuple[int | None, ...]:
        """`levels` where vectors stand in the place of random effects: these are numbers."""
        return self.in_place(self.levels, None)

    def in_place(self, values: Sequence[Any], of_effect: Any) -> tuple[Any, ...]:
        """A value of each number of c, and `of_effect` for each number of a random effect.

        Example:
            >>> Context(dim=3).in_place([1, 2, 3], 0)
            (1, 2, 3)
        """
        dims = {effect.position: effect.dim for effect in self.effects}
        each: list[Any] = []
        for position, value in enumerate(values):
            is_effect = position in dims
            each += [of_effect] * dims[position] if is_effect else [value]
        return tuple(each)

    @property
    def width(self) -> int:
        """The numbers in e(c), what networks get of a context."""
        return features_width(self.resolved_levels, self.embedding)

    def features(self) -> ContextFeatures:
        """A new e(c)."""
        return ContextFeatures(self.resolved_levels, self.embedding)

    def features_without_label(self) -> ContextFeatures | None:
        """A new e(c) of what is always known; None where that is nothing."""
        others = self.resolved_levels[:-1]
        return ContextFeatures(others, self.embedding) if others else None


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


def require_given(context: Context, module: Any) -> None:
    """Raise ValueError where a part that calls other parts would call them without a context."""
    if not isinstance(module, BindsPrograms):
        raise ValueError(
            "context: expected of priors and guides that call other parts of the model the method "
            f"pyro_vae_bind_programs, got {type(module).__name__}, which would call them without a "
            "context; add it (see pyro_vae.hooks), or take another"
        )
    refines = isinstance(module, RefinesProposal)
    if refines and not context.encoder:
        raise ValueError(
            "context: expected encoder = true with guide 'semi_amortized', whose steps ascend "
            "log p(x, z | c), got encoder = false; take it, or the guide that it wraps"
        )


def require_size(context: Context | None) -> None:
    """Raise ValueError where columns are named, of which no levels and kinds are known."""
    if context is None:
        return
    label = context.label
    is_named = bool(context.columns) or (label is not None and label.classes is None)
    if context.table is None and is_named:
        names = shortened(list(kinds_of(context.model_dump())))
        raise ValueError(
            f"context: expected a table with the columns {names}, of which levels and kinds are "
            "taken; make the model from it: VAE.from_data(frame, context=...)"
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


def label_column(context: Any) -> str | None:
    """The column that a description takes as label.

    Example:
        >>> label_column({"label": "species"}), label_column({"label": 10})
        ('species', None)
    """
    if not isinstance(context, Mapping):
        return None
    label = as_label(context.get("label"))
    column = label.get("column") if isinstance(label, Mapping) else None
    return column if isinstance(column, str) else None


def kinds_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a context with the kinds that were asked for, the label last.

    Example:
        >>> kinds_of({"columns": {"batch": "categorical"}, "label": "species"})
        {'batch': 'categorical', 'species': 'categorical'}
        >>> kinds_of({"columns": ["age"]})
        {'age': None}
    """
    columns = context.get("columns")
    names = names_of(context)
    asked = columns if isinstance(columns, Mapping) else {}
    kinds = {name: asked.get(name) for name in names}
    label = label_column(context)
    if label is not None:
        kinds.pop(label, None)
        kinds[label] = "categorical"
    return kinds

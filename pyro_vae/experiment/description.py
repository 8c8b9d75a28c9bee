"""The description of a whole experiment: the fields of a model, its data, fit and evaluation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AllowInfNan,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    PrivateAttr,
    model_validator,
)

from pyro_vae.analysis.marginal_likelihood.proposals import PROPOSALS
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.data import Schema, SparseArray
from pyro_vae.data.column_choice import each_kind
from pyro_vae.data.natural_likelihood import (
    FROM_MAXIMUM,
    Natural,
    natural_likelihood,
    sized_likelihood,
    unsized,
)
from pyro_vae.described import Described
from pyro_vae.kind_options import Options
from pyro_vae.registry import Choice
from pyro_vae.spec import Spec
from pyro_vae.spec.column_kinds import require_kinds
from pyro_vae.training import FitOptions
from pyro_vae.vae import VAE


class DataOptions(Described):
    """The table [data]: where the rows come from and which of them are held out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(default="digits", description="'digits', or a path")
    array: str | None = Field(
        default=None, description="the array of a file that holds several"
    )
    columns: tuple[str, ...] | None = Field(
        default=None,
        description="names of the columns of a table to take; all by default",
    )
    drop: tuple[str, ...] = Field(
        default=(), description="names of the columns of a table to leave out"
    )
    index: str | None = Field(
        default=None, description="the column with the labels of the rows"
    )
    delimiter: str | None = Field(
        default=None, description="of a text file; recognised by default"
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="decimal mark of a text file; recognised by default"
    )
    header: bool | None = Field(
        default=None,
        description="whether the first line of a text file has the names; recognised by default",
    )
    dtypes: dict[str, str] | None = Field(
        default=None, description="types of columns by name, as pandas knows them"
    )
    missing: tuple[str | float, ...] = Field(
        default=(), description="cells that stand for a missing value"
    )
    packed_bits: bool = Field(
        default=False, description="rows are packed by numpy.packbits(axis=1)"
    )
    test: Annotated[NonNegativeFloat, AllowInfNan(False)] = Field(
        default=0.2,
        description="share (below 1) or number of rows held out as test rows",
    )
    seed: NonNegativeInt = Field(
        default=0, description="of the choice of the test rows"
    )


class EvaluateOptions(Described):
    """The table [evaluate]: how log p(x) is estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_particles: PositiveInt = Field(default=1000, description="draws for each row")
    method: Literal["auto", "importance"] = Field(
        default="auto",
        description="proposals that suit each row, or importance sampling from one",
    )
    proposal: Annotated[Options, Choice(PROPOSALS)] | None = Field(
        default=None,
        description="where all draws come from, such as 'guide'; by default what method says",
    )
    retry: Annotated[Options, Choice(PROPOSALS)] | None = Field(
        default=None,
        description="another proposal for the rows whose k-hat is above 0.7",
    )
    until: Until | None = Field(
        default=None,
        description="draw on until se and pareto_k are small, or max_particles",
    )
    rows: PositiveInt | None = Field(
        default=None, description="a random subset of the test rows; all by default"
    )
    seed: NonNegativeInt = Field(
        default=0, description="of the draws and of the subset"
    )


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return {"source": value}
    return value


def _kinds(columns: Any) -> Any:
    """The kinds of columns by name."""
    if isinstance(columns, Mapping):
        require_kinds(columns)
    return columns


class Experiment(Spec):
    """The description of a run: the fields of a model, and the tables data, fit and evaluate.

    Example:
        >>> Experiment.model_validate({"data": "digits", "fit": {"epochs": 3}}).fit.epochs
        3
    """

    data_shape: tuple[PositiveInt, ...] | None = Field(  # type: ignore[assignment]
        default=None,
        description="shape of one row; by default that of the data, which are reshaped to it",
    )
    columns: Annotated[
        dict[str, str | dict[str, Any]] | None, BeforeValidator(_kinds)
    ] = Field(
        default=None,
        description="kinds of columns by name, for tables; others are decided from the cells",
    )
    data: Annotated[DataOptions, BeforeValidator(_source)] = Field(
        default=DataOptions(), description="the rows"
    )
    fit: FitOptions = Field(default=FitOptions(), description="training")
    evaluate: EvaluateOptions = Field(
        default=EvaluateOptions(), description="evaluation"
    )
    _open_kind: str | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _leaves_open(
        cls, given: Any, validate: ModelWrapValidatorHandler[Self]
    ) -> Self:
        """Validate a likelihood without the option that the data decide, with 2 as its value."""
        kind = None
        if isinstance(given, Mapping):
            kind = unsized(given.get("likelihood"))
        if kind is None:
            return validate(given)
        made = validate({**given, "likelihood": {"kind": kind, FROM_MAXIMUM[kind]: 2}})
        made._open_kind = kind
        return made

    @property
    def open_kind(self) -> str | None:
        """The kind of a likelihood whose size the data decide, such as "binomial"."""
        return self._open_kind

    def model_fields_of(self) -> dict[str, Any]:
        """The fields that describe the model."""
        fields = self.model_dump()
        return {name: fields[name] for name in fields if name in Spec.model_fields}


def settled(
    experiment: Experiment,
    *splits: np.ndarray | SparseArray,
    schema: Schema | None = None,
) -> tuple[Experiment, str]:
    """The experiment with a complete likelihood, and the reason where the rows decide it.

    Arguments:
        experiment: the description.
        splits: all rows.
        schema: the columns of a table, which have a likelihood each.
    """
    if schema is not None:
        return _for_table(experiment, schema, *splits)
    is_named = "likelihood" in experiment.model_fields_set
    if experiment.open_kind is not None:
        natural = sized_likelihood(experiment.open_kind, *splits)
    elif is_named:
        return experiment, ""
    elif experiment.fit.binarize == "dynamic":
        natural = Natural("bernoulli", "bits are drawn from grey levels")
    else:
        natural = natural_likelihood(*splits)
    fields = experiment.model_dump(exclude_unset=True)
    fields["likelihood"] = natural.likelihood
    return Experiment.model_validate(fields), natural.why


def _for_table(
    experiment: Experiment, schema: Schema, *splits: np.ndarray | SparseArray
) -> tuple[Experiment, str]:
    """The experiment with the likelihood of a table's columns, unless it has one of the whole.

    A table with missing cells makes a model that knows them.
    """
    fields = experiment.model_dump(exclude_unset=True)
    fields |= {"table": schema, "data_shape": (len(schema.names),)}
    own = [
        np.asarray(part)[:, : len(schema.names)] for part in splits
    ]  # without contexts
    if any(bool(np.isnan(part).any()) for part in own):
        fields.setdefault("missing", "at_random")
    is_whole = (
        "likelihood" in experiment.model_fields_set
        and experiment.open_kind is None
        and each_kind(fields["likelihood"]) is None
    )
    if is_whole:
        return Experiment.model_validate(fields), ""
    fields["likelihood"] = schema.likelihood
    return Experiment.model_validate(fields), ""


def make_vae(
    experiment: Experiment,
    rows: np.ndarray | SparseArray,
    schema: Schema | None = None,
) -> VAE:
    """The model of an experiment for rows of that shape, or for the columns of a table."""
    whole, _ = settled(experiment, rows, schema=schema)
    shape = rows.shape[1:]
    if whole.context is not None and schema is not None:
        shape = (len(schema.names),)  # the rows end with their contexts
    return VAE.from_spec(whole.model_fields_of() | {"data_shape": shape})


def some_rows(
    x: np.ndarray | SparseArray, options: EvaluateOptions
) -> np.ndarray | SparseArray:
    """The rows that are evaluated: all, or a random subset of them in their order."""
    return x[chosen_rows(len(x), options)]


def chosen_rows(count: int, options: EvaluateOptions) -> np.ndarray | slice:
    """The index of the rows of `count` that are evaluated, for an array of them.

    Example:
        >>> np.arange(5)[chosen_rows(5, EvaluateOptions(rows=5))]
        array([0, 1, 2, 3, 4])
    """
    if options.rows is None or options.rows >= count:
        return slice(None)
    order = np.random.default_rng(options.seed).permutation(count)
    return np.sort(order[: options.rows])

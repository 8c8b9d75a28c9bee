"""Tables: columns of different kinds."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, cast

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    field_validator,
    model_validator,
)
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.hooks import HasProbabilities
from pyro_vae.kind_options import Options
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, given, representative
from pyro_vae.likelihoods.column_ranges import ranges
from pyro_vae.likelihoods.column_supports import ColumnSupports
from pyro_vae.likelihoods.mechanisms import Direction, OfGroups
from pyro_vae.likelihoods.observed_cells import given_observed, observed_log_prob
from pyro_vae.likelihoods.self_masking import mechanism_of
from pyro_vae.networks import Shape
from pyro_vae.registry import Choice

GROUPS = [{"columns": "0:3", "kind": "normal"}, {"columns": 3, "kind": "bernoulli"}]
"""The first three columns are real numbers, the fourth is 0 or 1."""
MOST_COLUMNS = 1_000_000
"""In a range: it is checked before there is a number for each of them."""


class Group(BaseModel):
    """Some columns and the likelihood that they share.

    As a table: {"columns": "0:3", "kind": ..., options of the kind}.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    columns: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    likelihood: Annotated[Options, Choice(LIKELIHOODS)]

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, table: Any) -> Any:
        """The options of the kind may stand beside the columns."""
        if not isinstance(table, dict) or "likelihood" in table:
            return table
        likelihood = {name: value for name, value in table.items() if name != "columns"}
        return {"columns": table.get("columns"), "likelihood": likelihood}

    @field_validator("columns", mode="before")
    @classmethod
    def _range(cls, columns: Any) -> Any:
        """Column numbers; "0:3" means 0, 1, 2."""
        if isinstance(columns, int):
            return [columns]
        if not isinstance(columns, str):
            return columns
        try:
            first, end = map(int, columns.split(":"))
        except ValueError:
            expected = 'expected columns such as "0:3" or [0, 1, 2]'
            raise ValueError(f"{expected}, got {columns!r}") from None
        if end - first > MOST_COLUMNS:
            raise ValueError(
                f"expected a range of at most {MOST_COLUMNS} columns, got {columns!r}"
            )
        return range(first, end)


@LIKELIHOODS.register("mixed")
class Mixed(Family):
    """p(x | z) = ∏_g p_g(x_g | z): each group g of columns has its own likelihood; all share z.

    References:
        Handling Incomplete Heterogeneous Data using VAEs (Nazábal et al., 2020).

    Arguments:
        data_shape: shape of one row, one-dimensional.
        columns: the groups: {"columns": "0:3", "kind": ..., options of the kind}; columns as a
            range, a number or a list, each in exactly one group. A group whose unit is a vector
            (multinomial, size_factor) takes its columns in the order given.

    Raises:
        ValueError: rows with more dimensions; columns in no group or in several; a custom group.

    Example:
        >>> from pyro_vae import Spec
        >>> real = {"columns": "0:3", "kind": "normal"}
        >>> category = {"columns": 3, "kind": "categorical", "num_classes": 4}
        >>> likelihood = {"kind": "mixed", "columns": [real, category]}
        >>> spec = Spec(data_shape=(4,), likelihood=likelihood)
        >>> LIKELIHOODS.build(spec.likelihood, (4,)).param_shape
        (7,)
    """

    listed: Tensor
    order: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        columns: Annotated[tuple[Group, ...], Field(examples=[GROUPS])],
    ) -> None:
        _require_partition(data_shape, columns)
        families = [_family(group) for group in columns]
        sizes = [torch.Size(family.param_shape).numel() for family in families]
        super().__init__(data_shape, (sum(sizes),))
        self.columns = [list(group.columns) for group in columns]
        self.kinds = [group.likelihood.kind for group in columns]
        self.sizes = sizes
        self.families = nn.ModuleList(families)
        # the columns, group after group, and the way back
        listed = torch.tensor([column for group in columns for column in group.columns])
        self.register_buffer("listed", listed, persistent=False)
        self.register_buffer("order", listed.argsort(), persistent=False)
        self.support = ColumnSupports(
            self.columns, [family.support for family in families]
        )
        pairs = zip(columns, families, strict=True)
        remedies = [_remedy(group, family) for group, family in pairs]
        self.remedy = "; ".join(remedies)  # type: ignore[misc]

    @property
    def modelled_size(self) -> int:
        return sum(family.modelled_size for family in self._families)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        groups = {}
        for columns, kind, family in zip(
            self.columns, self.kinds, self._families, strict=True
        ):
            for inner in family.missing_together.values():
                own = [columns[column] for column in inner]
                groups[f"columns {ranges(sorted(own))} ({kind})"] = own
        return groups

    def pyro_vae_start(self, data: Statistics) -> None:
        for columns, family in zip(self.columns, self._families, strict=True):
            # the method of the class: that of the instance does nothing, see _family
            type(family).pyro_vae_start(family, data.of_columns(columns))

    def independent(self) -> Distribution | None:
        groups = []
        for family in self._families:
            group = family.independent()
            if group is None:
                return None
            groups.append(group)
        return ColumnGroups(groups, self)

    def forward(self, raw: Tensor) -> Distribution:
        leading = raw.shape[:-1]
        outputs = raw.split(self.sizes, -1)
        groups = []
        for output, family in zip(outputs, self._families, strict=True):
            groups.append(family(output.reshape(*leading, *family.param_shape)))
        return ColumnGroups(groups, self)

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfGroups:
        pairs = zip(self.kinds, self._families, strict=True)
        groups = [mechanism_of(*pair, direction) for pair in pairs]
        return OfGroups(groups, self.columns)

    @property
    def _families(self) -> list[Family]:
        return cast(list[Family], list(self.families))

    def extra_repr(self) -> str:
        return "x ~ " + " × ".join(type(family).__name__ for family in self.families)


def _require_partition(data_shape: Shape, groups: tuple[Group, ...]) -> None:
    if len(data_shape) != 1:
        raise ValueError(
            f"mixed: expected rows of columns, data_shape (D,), got {data_shape}; flatten them"
        )
    total = data_shape[0]
    times = Counter(column for group in groups for column in group.columns)
    problems = {
        "missing": set(range(total)) - set(times),
        "doubled": {column for column, count in times.items() if count > 1},
        "not there": {column for column in times if column >= total},
    }
    shown = []
    for name, columns in problems.items():
        if columns:
            shown.append(f"{name}: {ranges(sorted(columns))}")
    if shown:
        raise ValueError(
            f"mixed: expected each of {total} columns in exactly one group, got {'; '.join(shown)}"
        )


def _remedy(group: Group, family: Family) -> str:
    return f"columns {ranges(group.columns)} ({group.likelihood.kind}): {family.remedy}"


def _family(group: Group) -> Family:
    """The family of a group; `mixed` starts it on its own columns, and `fit` doesn't."""
    if group.likelihood.kind == "custom":
        raise ValueError(
            "mixed: expected the kind of a likelihood for each group, got an object; pass it as "
            "the whole"
        )
    family: Family = LIKELIHOODS.build(group.likelihood, (len(group.columns),))
    family.pyro_vae_start = _started_by_mixed  # type: ignore[method-assign]
    return family


def _started_by_mixed(data: Statistics) -> None:
    """Nothing: see `Mixed.pyro_vae_start`."""


class ColumnGroups(TorchDistribution):
    """Independent groups of columns, put together into rows of a family."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, parts: list[Distribution], row: Mixed) -> None:
        self.parts = parts
        self.row = row
        self.listed = row.listed
        self.order = row.order
        self.columns = constraints.independent(row.support, 1)
        super().__init__(parts[0].batch_shape, row.listed.shape)

    @property
    def support(self) -> constraints.Constraint:
        return self.columns

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        pairs = zip(self.parts, self._groups(value), strict=True)
        densities = [part.log_prob(group) for part, group in pairs]
        return torch.stack(densities).sum(0)

    def pyro_vae_observed_log_prob(self, value: Tensor, observed: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rows = zip(self.parts, self._groups(value), self._groups(observed), strict=True)
        densities = [observed_log_prob(part, *group) for part, *group in rows]
        return torch.stack(densities).sum(0)

    def pyro_vae_given(self, value: Tensor) -> "ColumnGroups":
        """The same distribution, each group given what it conditions on."""
        pairs = zip(self.parts, self._groups(value), strict=True)
        return ColumnGroups([given(part, group) for part, group in pairs], self.row)

    def pyro_vae_given_observed(
        self, value: Tensor, observed: Tensor
    ) -> "ColumnGroups":
        """The same distribution, each group given its own observed cells."""
        rows = zip(self.parts, self._groups(value), self._groups(observed), strict=True)
        return self.of_parts([given_observed(part, *group) for part, *group in rows])

    def of_parts(self, parts: list[Distribution]) -> "ColumnGroups":
        """Other distributions of the same groups of columns."""
        return ColumnGroups(parts, self.row)

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        """For each column of categories their probabilities, (..., K)."""
        by_column: dict[int, Tensor] = {}
        for part, columns in zip(self.parts, self.row.columns, strict=True):
            if isinstance(part, HasProbabilities):
                for index, probs in part.pyro_vae_probabilities().items():
                    by_column[columns[index]] = probs
        return by_column

    def _groups(self, value: Tensor) -> tuple[Tensor, ...]:
        sizes = [part.event_shape[0] for part in self.parts]
        return value.index_select(-1, self.listed).split(sizes, -1)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._row(part.sample(sample_shape) for part in self.parts)

    @property
    def mean(self) -> Tensor:
        return self._row(part.mean for part in self.parts)

    @property
    def variance(self) -> Tensor:
        return self._row(part.variance for part in self.parts)

    def pyro_vae_representative(self) -> Tensor:
        return self._row(representative(part) for part in self.parts)

    def _row(self, groups: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(groups), -1).index_select(-1, self.order)

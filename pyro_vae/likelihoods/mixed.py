"""Tables: columns of different kinds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator, model_validator
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.data.supports import describe
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, given, representative
from pyro_vae.networks import Shape
from pyro_vae.registry import Choice, Options

GROUPS = [{"columns": "0:3", "kind": "normal"}, {"columns": 3, "kind": "bernoulli"}]
"""The first three columns are real numbers, the fourth is 0 or 1."""


class Group(BaseModel):
    """Some columns and the likelihood they share: {"columns": "0:3", "kind": ..., options of the
    kind}.
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
        return {
            "columns": table.get("columns"),
            "likelihood": {k: v for k, v in table.items() if k != "columns"},
        }

    @field_validator("columns", mode="before")
    @classmethod
    def _range(cls, columns: Any) -> Any:
        """ "0:3" means 0, 1, 2."""
        if not isinstance(columns, str):
            return [columns] if isinstance(columns, int) else columns
        try:
            first, end = map(int, columns.split(":"))
        except ValueError:
            raise ValueError(
                f'expected columns such as "0:3" or [0, 1, 2], got {columns!r}'
            ) from None
        return range(first, end)


@LIKELIHOODS.register("mixed")
class Mixed(Family):
    """p(x | z) = ∏_g p_g(x_g | z): each group g of columns has a likelihood of its own, and all
    share z.

    References:
        Handling Incomplete Heterogeneous Data using VAEs (Nazábal, Olmos, Ghahramani, Valera,
        2020).

    Arguments:
        data_shape: shape of one row, one-dimensional.
        columns: the groups: {"columns": "0:3", "kind": ..., options of the kind}; columns as a
            range, one number or a list, each in exactly one group. A group that has one row vector
            as its unit (multinomial, size_factor) takes its columns in the order they are listed
            in.

    Raises:
        ValueError: rows that are not one-dimensional; columns in no group or in several; a group of
            kind "custom".

    Example:
        >>> from pyro_vae import Spec
        >>> groups = [{"columns": "0:3", "kind": "normal"}, {"columns": 3, "kind": "categorical", "num_classes": 4}]
        >>> spec = Spec(data_shape=(4,), likelihood={"kind": "mixed", "columns": groups})
        >>> LIKELIHOODS.build(spec.likelihood, (4,)).param_shape
        (7,)
    """

    listed: Tensor
    order: Tensor

    def __init__(
        self, data_shape: Shape, *, columns: Annotated[tuple[Group, ...], Field(examples=[GROUPS])]
    ) -> None:
        _require_partition(data_shape, columns)
        families = [_family(group) for group in columns]
        sizes = [torch.Size(family.param_shape).numel() for family in families]
        super().__init__(data_shape, (sum(sizes),))
        self.columns, self.sizes = [list(group.columns) for group in columns], sizes
        listed = torch.tensor([column for group in columns for column in group.columns])
        self.register_buffer("listed", listed, persistent=False)  # the columns, group after group
        self.register_buffer("order", listed.argsort(), persistent=False)  # and back
        self.families = nn.ModuleList(families)
        self.support = _Columns(self.columns, [family.support for family in families])
        self.remedy = "; ".join(  # type: ignore[misc]
            f"columns {ranges(group.columns)} ({group.likelihood.kind}): {family.remedy}"
            for group, family in zip(columns, families, strict=True)
        )

    @property
    def modelled_size(self) -> int:
        return sum(family.modelled_size for family in self._families)

    def start_from(self, data: Statistics) -> None:
        for columns, family in zip(self.columns, self._families, strict=True):
            parts = (part[..., columns] for part in (data.mean, data.std, data.sample))
            type(family).start_from(family, Statistics(data.rows, *parts))

    def independent(self) -> Distribution | None:
        parts = [family.independent() for family in self._families]
        known = [part for part in parts if part is not None]
        return _Beside(known, self) if len(known) == len(parts) else None

    def forward(self, raw: Tensor) -> Distribution:
        parts = [
            family(part.reshape(*raw.shape[:-1], *family.param_shape))
            for part, family in zip(raw.split(self.sizes, -1), self._families, strict=True)
        ]
        return _Beside(parts, self)

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
    given = [column for group in groups for column in group.columns]
    faults = {
        "missing": set(range(data_shape[0])) - set(given),
        "doubled": {column for column, times in Counter(given).items() if times > 1},
        "not there": {column for column in given if column >= data_shape[0]},
    }
    found = "; ".join(
        f"{fault}: {ranges(sorted(columns))}" for fault, columns in faults.items() if columns
    )
    if found:
        raise ValueError(
            f"mixed: expected each of {data_shape[0]} columns in exactly one group, got {found}"
        )


def _family(group: Group) -> Family:
    """The family of a group. It is started by `mixed`, on its own columns, and by nobody else who
    walks the modules.
    """
    if group.likelihood.kind == "custom":
        raise ValueError(
            "mixed: expected the kind of a likelihood for each group, got an object; pass it as "
            "the whole"
        )
    family: Family = LIKELIHOODS.build(group.likelihood, (len(group.columns),))
    family.start_from = _started_by_mixed  # type: ignore[method-assign]
    return family


def _started_by_mixed(data: Statistics) -> None:
    """Nothing: see `Mixed.start_from`."""


def ranges(columns: Sequence[int]) -> str:
    """Columns in few words.

    Example:
        >>> ranges([0, 1, 2, 5])
        '0:3, 5'
    """
    runs: list[list[int]] = []
    for column in columns:
        if runs and column == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([column, column + 1])
    return ", ".join(str(first) if end == first + 1 else f"{first}:{end}" for first, end in runs)


class _Columns(constraints.Constraint):
    """Each group of columns has a support of its own; the answer is for each column."""

    def __init__(self, columns: list[list[int]], supports: list[Any]) -> None:
        self.columns, self.supports = columns, supports

    def check(self, value: Tensor) -> Tensor:
        inside = torch.ones_like(value, dtype=torch.bool)
        for columns, support in zip(self.columns, self.supports, strict=True):
            inside[..., columns] = support.check(value[..., columns])
        return inside

    def __repr__(self) -> str:
        parts = (
            f"columns {ranges(c)}: {describe(s)}"
            for c, s in zip(self.columns, self.supports, strict=True)
        )
        return "; ".join(parts)


class _Beside(TorchDistribution):
    """Independent groups of columns, put together into rows of a family."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, parts: list[Distribution], row: Mixed) -> None:
        self.parts, self.row, self.listed, self.order = parts, row, row.listed, row.order
        self.columns = constraints.independent(row.support, 1)
        super().__init__(parts[0].batch_shape, row.listed.shape)

    @property
    def support(self) -> constraints.Constraint:
        return self.columns

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        pairs = zip(self.parts, self._groups(value), strict=True)
        return torch.stack([part.log_prob(group) for part, group in pairs]).sum(0)

    def given(self, value: Tensor) -> "_Beside":
        """The same, each group given what it conditions on."""
        parts = [
            given(part, group) for part, group in zip(self.parts, self._groups(value), strict=True)
        ]
        return _Beside(parts, self.row)

    def probabilities(self) -> dict[int, Tensor]:
        """Of the categories of each column that has some, (..., K)."""
        found: dict[int, Tensor] = {}
        for part, columns in zip(self.parts, self.row.columns, strict=True):
            if hasattr(part, "probabilities"):
                found |= {columns[index]: each for index, each in part.probabilities().items()}
        return found

    def _groups(self, value: Tensor) -> tuple[Tensor, ...]:
        return value.index_select(-1, self.listed).split(
            [part.event_shape[0] for part in self.parts], -1
        )

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._row(part.sample(sample_shape) for part in self.parts)

    @property
    def mean(self) -> Tensor:
        return self._row(part.mean for part in self.parts)

    @property
    def variance(self) -> Tensor:
        return self._row(part.variance for part in self.parts)

    @property
    def representative(self) -> Tensor:
        return self._row(representative(part) for part in self.parts)

    def _row(self, groups: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(groups), -1).index_select(-1, self.order)

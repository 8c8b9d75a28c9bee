"""A label that is known of some rows: the option `label` of a context."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeFloat, model_validator

from pyro_vae.described import Described


class Label(Described):
    """A class y of a row, nan where it is unknown: p(x) = Σ_y p(y) p(x | y).

    Example:
        >>> Label(classes=10).prior
        'uniform'
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    column: str | None = Field(
        default=None, description="the column of the table that holds it"
    )
    classes: int | None = Field(
        default=None, ge=2, description="how many there are, for arrays"
    )
    prior: Literal["uniform", "learned"] = Field(
        default="uniform", description="p(y): the same for all classes, or learned"
    )
    weight: NonNegativeFloat = Field(
        default=30.0,
        description="nats of the loss for each nat of the mean classification error of the rows "
        "whose label is known",
    )
    consistency: NonNegativeFloat = Field(
        default=0.25,
        description="how far a row moves, in standard deviations of each feature, where q(y | x) "
        "is asked to stay the same; 0: not asked",
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.column is None and self.classes is None:
            raise ValueError(
                "expected the number of classes, label={'classes': 10}, or a column of a table, "
                "label={'column': 'species'}"
            )
        return self


def as_label(value: Any) -> Any:
    """The short forms: the name of a column, or the number of classes.

    Example:
        >>> as_label("species"), as_label(10)
        ({'column': 'species'}, {'classes': 10})
    """
    if isinstance(value, str):
        return {"column": value}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"classes": value}
    return value

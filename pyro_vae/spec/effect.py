"""Levels as random effects: what a column of a context can be beside a number and categories."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt

from pyro_vae.data.columns import RANDOM_EFFECT
from pyro_vae.described import Described

Scale = PositiveFloat | Literal["learned"]


class RandomEffect(Described):
    """The options of {"kind": "random_effect"}: a vector for each level, u ~ N(0, s² I).

    Example:
        >>> RandomEffect(scale=0.5).dim is None
        True
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    kind: Literal["random_effect"] = "random_effect"
    dim: PositiveInt | None = Field(
        default=None,
        description="length of the vector; that of the context's embedding, or else 1",
    )
    scale: Scale = Field(
        default="learned", description="s: a number, or learned from the data"
    )


class Effect(NamedTuple):
    """A random effect in a context.

    Attributes:
        name: of the column.
        position: of its level among the numbers of the context.
        levels: K, how many are known; a level that is new has the number K.
        dim: length of the vector of a level.
        scale: s, or "learned".
    """

    name: str
    position: int
    levels: int
    dim: int
    scale: float | Literal["learned"]

    @property
    def site(self) -> str:
        """The name of its site in model and guide."""
        return f"effect_{self.name}"


def effect_options(wish: Any) -> RandomEffect | None:
    """The options of a random effect, where a column is asked to be one.

    Example:
        >>> effect_options("random_effect").scale, effect_options("categorical")
        ('learned', None)
    """
    if isinstance(wish, str):
        wish = {"kind": wish}
    if not isinstance(wish, Mapping) or wish.get("kind") != RANDOM_EFFECT:
        return None
    return RandomEffect.model_validate(wish)

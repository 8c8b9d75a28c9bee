"""What a missing cell means: the field `missing` of a description."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import ConfigDict

from pyro_vae.described import Described
from pyro_vae.likelihoods.mechanisms import Direction


class SelfMaskingOptions(Described):
    """Cells that are missing because of their own values, and which values are missing more often.

    Example:
        >>> SelfMaskingOptions(direction="high").kind
        'self_masking'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["self_masking"] = "self_masking"
    direction: Direction = "any"


Word = Literal["none", "at_random", "self_masking"]
Missing = Word | SelfMaskingOptions


DIRECTIONS = get_args(Direction)


def known_missing(value: Any) -> Any:
    """The field as it came, if it is a word or a table that is known.

    Raises:
        ValueError: another word, another table, or a table with another key.

    Example:
        >>> known_missing({"kind": "self_masking", "direction": "low"})
        {'kind': 'self_masking', 'direction': 'low'}
    """
    if isinstance(value, SelfMaskingOptions) or value in get_args(Word):
        return value
    if isinstance(value, Mapping):
        rest = {key for key in value if key not in ("kind", "direction")}
        is_known = value.get("direction", "any") in DIRECTIONS
        if value.get("kind") == "self_masking" and is_known and not rest:
            return value
    raise ValueError(
        "expected 'none', 'at_random', 'self_masking', or a table such as "
        f"{{'kind': 'self_masking', 'direction': 'high'}}, whose directions are 'any', 'high' and "
        f"'low', got {value!r}"
    )


def direction_of(missing: Missing) -> Direction | None:
    """Which values are missing more often; None where missing cells don't depend on their values.

    Example:
        >>> direction_of("self_masking"), direction_of("at_random")
        ('any', None)
    """
    if isinstance(missing, SelfMaskingOptions):
        return missing.direction
    return "any" if missing == "self_masking" else None

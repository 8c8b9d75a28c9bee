"""What a missing cell means: the field `missing` of a description."""

from typing import Literal

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


Missing = Literal["none", "at_random", "self_masking"] | SelfMaskingOptions


def direction_of(missing: Missing) -> Direction | None:
    """Which values are missing more often; None where missing cells don't depend on their values.

    Example:
        >>> direction_of("self_masking"), direction_of("at_random")
        ('any', None)
    """
    if isinstance(missing, SelfMaskingOptions):
        return missing.direction
    return "any" if missing == "self_masking" else None

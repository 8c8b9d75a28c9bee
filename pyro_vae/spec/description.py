"""The description itself: fields with their types, and where it is read from."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from pyro_vae.data import Schema
from pyro_vae.data.names import shortened
from pyro_vae.data.untrusted import TOO_DEEP, require_shallow
from pyro_vae.described import Described
from pyro_vae.guides import GUIDES
from pyro_vae.kind_options import Custom, Options
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.networks import NETWORKS, Activation
from pyro_vae.priors import PRIORS
from pyro_vae.registry import Choice
from pyro_vae.spec.context import Context, known_context, require_context
from pyro_vae.spec.missing import Missing, direction_of, known_missing

SLOTS = ("prior", "likelihood", "guide", "encoder", "decoder")

Prior = Annotated[Options, Choice(PRIORS)]
Family = Annotated[Options, Choice(LIKELIHOODS)]
Guide = Annotated[Options, Choice(GUIDES)]
Network = Annotated[Options, Choice(NETWORKS)]


class Spec(Described):
    """The description of a variational autoencoder; each field is one line of Python or TOML.

    Example:
        >>> Spec(data_shape=(64,), likelihood={"kind": "binomial", "total_count": 16}).prior.kind
        'standard_normal'
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    data_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        description="shape of one row"
    )
    latent_dim: PositiveInt = Field(default=8, description="length of z")
    prior: Prior = Field(default=cast(Options, "standard_normal"), description="p(z)")
    likelihood: Family = Field(default=cast(Options, "normal"), description="p(x | z)")
    guide: Guide = Field(default=cast(Options, "mean_field"), description="q(z | x)")
    hidden_dims: tuple[PositiveInt, ...] = Field(
        default=(128, 128),
        max_length=1000,
        description="widths of the encoder's hidden layers; the decoder has them in reverse",
    )
    activation: Activation = Field(
        default="silu",
        description="activation of the hidden layers, by its name in torch.nn",
    )
    encoder: Network = Field(
        default=cast(Options, "mlp"), description="network from rows to features"
    )
    decoder: Network = Field(
        default=cast(Options, "mlp"),
        description="network from z to the parameters of the likelihood",
    )
    standardize: Literal["feature", "all", "none"] = Field(
        default="feature",
        description="what the encoder's inputs are divided by: each feature's std, one std, "
        "nothing",
    )
    denoise: NonNegativeFloat = Field(
        default=0.0,
        description="noise on the encoder's inputs while training, in standardised units",
    )
    missing: Missing = Field(
        default="none",
        description="what nan means: an error, a cell that is missing at random, or one that is "
        "missing because of its own value",
    )
    seed: NonNegativeInt = Field(
        default=0, lt=2**63, description="seed of the initial weights"
    )
    table: Schema | None = Field(
        default=None,
        description="names, kinds and levels of the columns, for rows of a table",
    )
    context: Context | None = Field(
        default=None, description="what is given with each row, and has no density"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.prior.kind == "flat" and self.guide.kind not in {"delta", "custom"}:
            raise ValueError(
                f"prior 'flat' has no density, so guide {self.guide.kind!r} would spread without "
                "bound; expected guide 'delta' (the autoencoder), or another prior"
            )
        if self.table is not None and self.data_shape != (len(self.table.names),):
            raise ValueError(
                f"table: expected as many columns as data_shape {self.data_shape} has, got "
                f"{len(self.table.names)}: {shortened(self.table.names)}; make the model with "
                "VAE.from_data"
            )
        require_context(self)
        return self

    @field_validator("missing", mode="before")
    @classmethod
    def _known_missing(cls, value: Any) -> Any:
        return known_missing(value)

    @field_validator("context", mode="before")
    @classmethod
    def _known_context(cls, value: Any) -> Any:
        return known_context(value)

    @property
    def self_masking(self) -> Direction | None:
        """Which values are missing more often; None where missing cells don't depend on them."""
        return direction_of(self.missing)

    @property
    def decoder_inputs(self) -> int:
        """How many numbers the decoder takes of a row: z, and e(c) where it takes the context."""
        if self.context is None or not self.context.decoder:
            return self.latent_dim
        return self.latent_dim + self.context.width

    def custom(self) -> dict[str, str]:
        """The slots that hold a user's object, with its type."""
        parts = {slot: getattr(self, slot) for slot in SLOTS}
        return {
            slot: part.type for slot, part in parts.items() if isinstance(part, Custom)
        }

    def ignored(self) -> dict[str, str]:
        """The changed fields that nothing reads, each with the user's part that is in its stead."""
        own = self.custom()
        readers = {
            "encoder": "guide",
            "standardize": "guide",
            "denoise": "guide",
            "decoder": "likelihood",
        }
        unread = {name: part for name, part in readers.items() if part in own}
        encoding = [part for part in ("guide", "encoder") if part in own]
        decoding = [part for part in ("likelihood", "decoder") if part in own]
        if encoding and decoding:
            both = f"{encoding[0]} and {decoding[0]}"
            unread |= {"hidden_dims": both, "activation": both}
        default = Spec(data_shape=self.data_shape)
        return {
            name: part
            for name, part in unread.items()
            if getattr(self, name) != getattr(default, name)
        }


def read(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A description as a dict: from a dict, or from a `.toml` or `.json` file.

    Raises:
        ValueError: another suffix, or a file that doesn't parse, or that has a key twice.
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(os.path.expanduser(source))
    if path.suffix not in PARSERS:
        raise ValueError(
            f"{path}: expected a description in a .toml or .json file, got suffix {path.suffix!r}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows writes a byte order mark
        table: dict[str, Any] = PARSERS[path.suffix](text)
        require_shallow(table)
    except OSError as error:
        raise ValueError(
            f"{path}: the description can't be read: {error.strerror}"
        ) from error
    except RecursionError as error:
        raise ValueError(f"{path}: {TOO_DEEP}") from error
    except ValueError as error:
        raise ValueError(
            f"{path}: expected {path.suffix[1:].upper()}, got: {error}"
        ) from error
    if not isinstance(table, dict):
        raise ValueError(
            f"{path}: expected a table of fields, got {type(table).__name__}"
        )
    return table


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON; Python's reader would take the last of two equal keys without an error."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = ", ".join(
            sorted({repr(name) for name in names if names.count(name) > 1})
        )
        raise ValueError(f"{twice} twice in one table; leave one of them out")
    return table


PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": partial(json.loads, object_pairs_hook=_each_once),
}

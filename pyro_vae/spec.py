"""The declarative description of a model: keyword arguments, a dict, TOML or JSON in; modules out; and back."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.guides import GUIDES, Posterior
from pyro_vae.likelihoods import LIKELIHOODS, Likelihood
from pyro_vae.networks import NETWORKS, Activation, Shape, Standardize
from pyro_vae.priors import PRIORS, Constant
from pyro_vae.registry import Choice, Custom, Options

SLOTS = ("prior", "likelihood", "guide", "encoder", "decoder")

Prior = Annotated[Options, Choice(PRIORS)]
Family = Annotated[Options, Choice(LIKELIHOODS)]
Guide = Annotated[Options, Choice(GUIDES)]
Network = Annotated[Options, Choice(NETWORKS)]


class Spec(BaseModel):
    """The description of a variational autoencoder; each field is one line of Python or TOML.

    Example:
        >>> Spec(data_shape=(64,), likelihood={"kind": "binomial", "total_count": 16}).prior.kind
        'standard_normal'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    data_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(description="shape of one row")
    latent_dim: PositiveInt = Field(default=8, description="length of z")
    prior: Prior = Field(default=cast(Options, "standard_normal"), description="p(z)")
    likelihood: Family = Field(default=cast(Options, "normal"), description="p(x | z)")
    guide: Guide = Field(default=cast(Options, "mean_field"), description="q(z | x)")
    hidden_dims: tuple[PositiveInt, ...] = Field(
        default=(128, 128), description="widths of the encoder's hidden layers; the decoder has them in reverse"
    )
    activation: Activation = Field(
        default="silu", description="activation of the hidden layers, by its name in torch.nn"
    )
    encoder: Network = Field(default=cast(Options, "mlp"), description="network from rows to features")
    decoder: Network = Field(
        default=cast(Options, "mlp"), description="network from z to the parameters of the likelihood"
    )
    standardize: Literal["feature", "all", "none"] = Field(
        default="feature", description="what the encoder's inputs are divided by: each feature's std, one std, nothing"
    )
    denoise: NonNegativeFloat = Field(
        default=0.0, description="noise on the encoder's inputs while training, in standardised units"
    )
    seed: NonNegativeInt = Field(default=0, lt=2**63, description="seed of the initial weights")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.prior.kind == "flat" and self.guide.kind not in {"delta", "custom"}:
            raise ValueError(
                f"prior 'flat' has no density, so guide {self.guide.kind!r} would spread without bound; "
                "expected guide 'delta' (the autoencoder), or another prior"
            )
        return self

    def custom(self) -> dict[str, str]:
        """The slots that hold an object of the user's, with its type."""
        parts = {slot: getattr(self, slot) for slot in SLOTS}
        return {slot: part.type for slot, part in parts.items() if isinstance(part, Custom)}


class Parts(NamedTuple):
    """The three modules of a model; calling each gives a distribution."""

    prior: nn.Module
    likelihood: nn.Module
    posterior: nn.Module


def read(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A description as a dict: from a dict, or from a `.toml` or `.json` file.

    Raises:
        ValueError: another suffix, or a file that doesn't parse.
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    parsers = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix not in parsers:
        raise ValueError(f"{path}: expected a description in a .toml or .json file, got suffix {path.suffix!r}")
    try:
        table: dict[str, Any] = parsers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: the description can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: expected {path.suffix[1:].upper()}, got: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path}: expected a table of fields, got {type(table).__name__}")
    return table


def describe(fields: Mapping[str, Any]) -> tuple[Spec, dict[str, nn.Module]]:
    """Split what a user passes into the description and the objects that it only names.

    Example:
        >>> spec, objects = describe({"data_shape": (4,), "encoder": nn.Linear(4, 2)})
        >>> spec.custom(), list(objects)
        ({'encoder': 'torch.nn.modules.linear.Linear'}, ['encoder'])
    """
    given = {slot: fields[slot] for slot in SLOTS if isinstance(fields.get(slot), nn.Module | Distribution)}
    named = {slot: Custom(type=f"{type(part).__module__}.{type(part).__qualname__}") for slot, part in given.items()}
    objects = {slot: Constant(part) if isinstance(part, Distribution) else part for slot, part in given.items()}
    return Spec.model_validate({**fields, **named}), objects


def build(spec: Spec, objects: Mapping[str, nn.Module]) -> Parts:
    """The modules that `spec` describes; `objects` holds the user's own parts by slot.

    Raises:
        ValueError: a part of the user's is missing, or its shapes don't fit.
    """
    for slot, kind in spec.custom().items():
        if slot not in objects:
            raise ValueError(f"{slot}: the description names your own {kind}; pass the object: {slot}=...")
    for whole, network in (("likelihood", "decoder"), ("guide", "encoder")):
        if whole in objects and network in objects:
            raise ValueError(f"{network}: your own {whole} brings its network; pass {whole}= or {network}=, not both")
    prior = objects["prior"] if "prior" in objects else PRIORS.build(spec.prior, spec.latent_dim)
    likelihood = objects["likelihood"] if "likelihood" in objects else _likelihood(spec, objects.get("decoder"))
    posterior = objects["guide"] if "guide" in objects else _posterior(spec, objects.get("encoder"))
    parts = Parts(prior, likelihood, posterior)
    for module in (module for part in parts for module in part.modules()):
        if callable(bind := getattr(module, "bind_parts", None)):
            bind(parts)
    check(parts, spec.data_shape, spec.latent_dim)
    return parts


def _likelihood(spec: Spec, decoder: nn.Module | None) -> Likelihood:
    family = LIKELIHOODS.build(spec.likelihood, spec.data_shape)
    if decoder is None:
        decoder = _network(spec, spec.decoder, (spec.latent_dim,), family.param_shape, spec.hidden_dims[::-1])
    return Likelihood(decoder, family.to(_zeros_like(decoder, ())))


def _posterior(spec: Spec, encoder: nn.Module | None) -> Posterior:
    if encoder is None:
        encoder = _network(spec, spec.encoder, spec.data_shape, None, spec.hidden_dims)
    features = _call("encoder", encoder, _zeros_like(encoder, spec.data_shape))
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(
            f"encoder: expected features of shape (n, width) for n = 2 rows, got {got}; flatten its output"
        )
    standardize = Standardize(spec.data_shape, spec.standardize, spec.denoise)
    family = GUIDES.build(spec.guide, features.shape[1], spec.latent_dim)
    weight = _zeros_like(encoder, ())
    return Posterior(standardize.to(weight), encoder, family.to(weight))


def _network(spec: Spec, options: Options, in_shape: Shape, out_shape: Shape | None, hidden: Shape) -> nn.Module:
    """A network of the model: its own options first, then the hidden_dims and the activation of the model."""
    shared = {"hidden_dims": hidden, "activation": spec.activation}
    inherited = {name: shared[name] for name, value in options.options().items() if name in shared and value is None}
    network: nn.Module = NETWORKS.build(options.model_copy(update=inherited), in_shape, out_shape)
    return network


def check(parts: Parts, data_shape: Shape, latent_dim: int) -> None:
    """Call each part once on zeros and compare the event shapes of the distributions with those of the model.

    Raises:
        ValueError: naming the part, the expected and the got.
    """
    expected = (latent_dim,), data_shape, (latent_dim,)
    inputs: tuple[tuple[Shape, ...], ...] = ((), ((latent_dim,),), (data_shape,))
    for name, part, event_shape, shapes in zip(Parts._fields, parts, expected, inputs, strict=True):
        with _evaluating(*parts):  # all of them: a prior may call the guide
            got = _call(name, part, *(_zeros_like(part, shape) for shape in shapes))
        if not isinstance(got, Distribution):
            raise ValueError(f"{name}: expected a module that returns a Distribution, got {type(got).__name__}")
        if tuple(got.event_shape) != tuple(event_shape):
            raise ValueError(
                f"{name}: expected event shape {tuple(event_shape)}, got {tuple(got.event_shape)} "
                f"(batch shape {tuple(got.batch_shape)}); set its size, or declare event dimensions with .to_event(k)"
            )


def _call(name: str, part: nn.Module, *inputs: Tensor) -> Any:
    """The output of a part in evaluation mode, which touches neither gradients nor statistics."""
    try:
        with torch.no_grad(), _evaluating(part):
            return part(*inputs)
    except (RuntimeError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise ValueError(f"{name}: failed on zeros of shape {shapes}: {error}") from error


@contextmanager
def _evaluating(*parts: nn.Module) -> Iterator[None]:
    """The parts are in evaluation mode inside the block; after it each of their modules is in its former mode."""
    modes = {module: module.training for part in parts for module in part.modules()}
    try:
        for part in parts:
            part.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _zeros_like(part: nn.Module, shape: Shape) -> Tensor:
    weight = next((p for p in part.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.zeros((2, *shape), dtype=weight.dtype, device=weight.device)

"""From a description and the user's own objects to the three modules of a model."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.guides import GUIDES, Posterior
from pyro_vae.hooks import BindsParts
from pyro_vae.kind_options import Options, qualified_name
from pyro_vae.likelihoods import LIKELIHOODS, Likelihood
from pyro_vae.likelihoods.observed_cells import (
    MissingAtRandom,
    OwnLikelihood,
    observes_each,
)
from pyro_vae.likelihoods.self_masking import (
    SelfMasking,
    mechanism_of,
    no_mechanism,
)
from pyro_vae.networks import NETWORKS, Shape, Standardize, standardized_shape
from pyro_vae.priors import PRIORS
from pyro_vae.registry import Registry
from pyro_vae.spec.adoption import adopted, is_own, named, unused
from pyro_vae.spec.check import called, check, check_draws, data_support, zeros_like
from pyro_vae.spec.description import SLOTS, Spec
from pyro_vae.spec.gradients import require_training
from pyro_vae.spec.kinds import gives_pyro_kind


class Parts(NamedTuple):
    """The three modules of a model; calling each gives a distribution."""

    prior: nn.Module
    likelihood: nn.Module
    posterior: nn.Module


def describe(fields: Mapping[str, Any]) -> tuple[Spec, dict[str, nn.Module]]:
    """Split what a user passes into the description and the objects that it only refers to.

    Example:
        >>> spec, objects = describe({"data_shape": (4,), "encoder": nn.Linear(4, 2)})
        >>> spec.custom(), list(objects)
        ({'encoder': 'torch.nn.modules.linear.Linear'}, ['encoder'])
    """
    own = {slot: fields[slot] for slot in SLOTS if is_own(slot, fields.get(slot))}
    objects = {slot: adopted(slot, part) for slot, part in own.items()}
    references = {slot: named(part) for slot, part in own.items()}
    return Spec.model_validate({**fields, **references}), objects


def build(spec: Spec, objects: Mapping[str, nn.Module]) -> Parts:
    """The modules that `spec` describes.

    Arguments:
        spec: the description.
        objects: the user's own parts by slot.

    Raises:
        ValueError: a user's part is missing, doesn't fit, or makes another field useless.
    """
    _check_slots(spec, objects)
    prior = objects.get("prior")
    if prior is None:
        prior = _member(PRIORS, spec.prior, spec.latent_dim)
    likelihood = objects.get("likelihood")
    if likelihood is None:
        likelihood = _likelihood(spec, objects.get("decoder"))
    elif spec.missing != "none":
        likelihood = _own_with_missing(spec, likelihood)
    posterior = objects.get("guide")
    if posterior is None:
        posterior = _posterior(spec, objects.get("encoder"))
    parts = Parts(prior, likelihood, posterior)
    for module in (module for part in parts for module in part.modules()):
        if isinstance(module, BindsParts):
            module.pyro_vae_bind(parts)
    _check_parts(spec, parts, objects)
    return parts


def _check_slots(spec: Spec, objects: Mapping[str, nn.Module]) -> None:
    """Raise ValueError where a user's part is missing, or where nothing would read a field."""
    for slot, kind in spec.custom().items():
        if slot not in objects:
            raise ValueError(
                f"{slot}: the description names your own {kind}; pass the object: {slot}=..."
            )
    for name, own in spec.ignored().items():
        if " and " in own:
            raise ValueError(
                f"{name}: your own {own} are all the networks there are, and don't read it; "
                "leave it out"
            )
        raise ValueError(
            f"{name}: your own {own} brings its network; pass {own}= or {name}=, not both"
        )


def _check_parts(spec: Spec, parts: Parts, objects: Mapping[str, nn.Module]) -> None:
    """Check shapes, supports and gradients, and convert what returns another library's kind."""
    distributions = check(parts, spec.data_shape, spec.latent_dim)
    for part, distribution in zip(parts, distributions, strict=True):
        if part in objects.values() or not isinstance(
            distribution, TorchDistributionMixin
        ):
            gives_pyro_kind(part)
    if "likelihood" in objects:
        check_draws(parts.likelihood, spec.latent_dim)
    trained = {parameter for part in parts for parameter in part.parameters()}
    for slot, own in objects.items():
        require_training(slot, own, INPUTS[slot](spec), trained)
        unused(own)


INPUTS: dict[str, Callable[[Spec], tuple[Shape, ...]]] = {
    "prior": lambda spec: (),
    "likelihood": lambda spec: ((spec.latent_dim,),),
    "decoder": lambda spec: ((spec.latent_dim,),),
    "guide": lambda spec: (spec.data_shape,),
    "encoder": lambda spec: (_encoder_shape(spec),),
}
"""The shapes of the inputs of each part, for one row."""


def _member(registry: Registry, options: Options, *context: Any) -> nn.Module:
    built = registry.build(options, *context)
    if not isinstance(built, nn.Module):
        constructor = qualified_name(registry[options.kind])
        remedy = ""
        if isinstance(built, Distribution):
            remedy = "; wrap it: pyro_vae.priors.Constant(...)"
        raise ValueError(
            f"{registry.room} {options.kind!r}: expected {constructor} to make an nn.Module, got "
            f"{type(built).__name__}{remedy}"
        )
    return built


def _likelihood(spec: Spec, decoder: nn.Module | None) -> Likelihood:
    family: Any = _member(LIKELIHOODS, spec.likelihood, spec.data_shape)
    if not isinstance(getattr(family, "param_shape", None), tuple):
        raise ValueError(
            f"likelihood {spec.likelihood.kind!r}: expected a Family with param_shape, the shape "
            f"of the decoder's output for one row, got {type(family).__name__}; subclass "
            "pyro_vae.likelihoods.Family"
        )
    if decoder is None:
        widths = spec.hidden_dims[::-1]
        decoder = _network(
            spec, spec.decoder, (spec.latent_dim,), family.param_shape, widths
        )
    weight = zeros_like(decoder, ())
    family = family.to(weight)
    if spec.missing == "none":
        return Likelihood(decoder, family)
    support = getattr(family, "support", constraints.real)
    missing: MissingAtRandom
    if spec.self_masking is None:
        together = family.missing_together
        if not together:
            outputs = zeros_like(decoder, family.param_shape)
            together = _together(spec, family(outputs))
        missing = MissingAtRandom(spec.data_shape, support, together)
    else:
        mechanism = mechanism_of(spec.likelihood.kind, family, spec.self_masking)
        missing = SelfMasking(spec.data_shape, support, mechanism)
    return Likelihood(decoder, family, missing.to(weight))


def _own_with_missing(spec: Spec, likelihood: nn.Module) -> "OwnLikelihood":
    """A likelihood of the user's own, for rows with missing cells."""
    if spec.self_masking is not None:
        raise ValueError(no_mechanism("custom"))
    z = zeros_like(likelihood, (spec.latent_dim,))
    p = called("likelihood", likelihood, z)
    if not isinstance(p, TorchDistributionMixin):
        gives_pyro_kind(likelihood)
    support, _ = data_support(likelihood, spec.latent_dim)
    missing = MissingAtRandom(spec.data_shape, support, _together(spec, p))
    return OwnLikelihood(likelihood, missing.to(z))


def _together(spec: Spec, p: Distribution) -> dict[str, list[int]]:
    """The cells that are missing together: all of a row whose distribution knows no marginals."""
    if observes_each(p):
        return {}
    return {"a row": list(range(math.prod(spec.data_shape)))}


def _encoder_shape(spec: Spec) -> Shape:
    """The shape of the encoder's input for one row."""
    return standardized_shape(spec.data_shape, spec.missing != "none")


def _posterior(spec: Spec, encoder: nn.Module | None) -> Posterior:
    if encoder is None:
        encoder = _network(
            spec, spec.encoder, _encoder_shape(spec), None, spec.hidden_dims
        )
    features = called("encoder", encoder, zeros_like(encoder, _encoder_shape(spec)))
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        got = (
            tuple(features.shape)
            if isinstance(features, Tensor)
            else type(features).__name__
        )
        raise ValueError(
            f"encoder: expected features of shape (n, width) for n = 2 rows, got {got}; flatten "
            "its output"
        )
    missing = spec.missing != "none"
    standardize = Standardize(spec.data_shape, spec.standardize, spec.denoise, missing)
    family = _member(GUIDES, spec.guide, features.shape[1], spec.latent_dim)
    weight = zeros_like(encoder, ())
    return Posterior(standardize.to(weight), encoder, family.to(weight))


def _network(
    spec: Spec,
    options: Options,
    in_shape: Shape,
    out_shape: Shape | None,
    hidden: Shape,
) -> nn.Module:
    """A network of the model; what its options leave open is taken from the model's own fields."""
    shared = {"hidden_dims": hidden, "activation": spec.activation}
    chosen = options.options()
    inherited = {
        name: value
        for name, value in shared.items()
        if name in chosen and chosen[name] is None
    }
    return _member(NETWORKS, options.model_copy(update=inherited), in_shape, out_shape)

"""From a description and the user's own objects to the three modules of a model."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.guides import GUIDES, Posterior
from pyro_vae.hooks import BindsParts, BindsPrograms
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
from pyro_vae.networks import Shape, Standardize
from pyro_vae.priors import PRIORS
from pyro_vae.priors.conditional import ConditionalNormal
from pyro_vae.spec.adoption import adopted, is_own, named, unused
from pyro_vae.spec.check import called, check, check_draws, data_support, zeros_like
from pyro_vae.spec.context import require_given, require_size
from pyro_vae.spec.description import SLOTS, Spec
from pyro_vae.spec.gradients import require_training
from pyro_vae.spec.kinds import gives_pyro_kind
from pyro_vae.spec.members import (
    context_shape,
    encoder_shape,
    encoder_with_context,
    in_layers,
    member,
    network_of,
)


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
    require_size(spec.context)
    prior = objects.get("prior")
    if prior is None:
        prior = _prior(spec)
    likelihood = objects.get("likelihood")
    if likelihood is None:
        likelihood = _likelihood(spec, objects.get("decoder"))
    elif spec.missing != "none":
        likelihood = _own_with_missing(spec, likelihood)
    posterior = objects.get("guide")
    if posterior is None:
        posterior = _posterior(spec, objects.get("encoder"))
    parts = Parts(prior, likelihood, posterior)
    binding = _binding(parts)
    for module in binding:
        if spec.context is not None:
            require_given(spec.context, module)
        elif isinstance(module, BindsParts):
            module.pyro_vae_bind(parts)
    if spec.context is None or not binding:
        _check_parts(spec, parts, objects)
    return parts


def bind_programs(
    spec: Spec, objects: Mapping[str, nn.Module], model: Any, guide: Any
) -> None:
    """Give the programs of a model with a context to the parts that call each other, and check all.

    Arguments:
        spec: the description.
        objects: the user's own parts by slot.
        model: with `prior`, `likelihood`, `p_z(c)` and `p_x(z, c)`.
        guide: with `posterior` and `q_z(x, c)`.
    """
    parts = Parts(model.prior, model.likelihood, guide.posterior)
    binding = _binding(parts)
    if spec.context is None or not binding:
        return
    for module in binding:
        module.pyro_vae_bind_programs(model, guide)
    _check_parts(spec, parts, objects)


def _binding(parts: Parts) -> list[Any]:
    """The modules that call other parts of the model."""
    modules = (module for part in parts for module in part.modules())
    return [
        module for module in modules if isinstance(module, BindsParts | BindsPrograms)
    ]


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
    inputs = tuple(INPUTS[slot](spec) for slot in ("prior", "likelihood", "guide"))
    z_shape = (spec.latent_dim,)
    distributions = check(parts, inputs, (z_shape, spec.data_shape, z_shape))
    for part, distribution in zip(parts, distributions, strict=True):
        if part in objects.values() or not isinstance(
            distribution, TorchDistributionMixin
        ):
            gives_pyro_kind(part)
    if "likelihood" in objects:
        check_draws(parts.likelihood, spec.decoder_inputs)
    trained = {parameter for part in parts for parameter in part.parameters()}
    for slot, own in objects.items():
        require_training(slot, own, INPUTS[slot](spec), trained)
        unused(own)


INPUTS: dict[str, Callable[[Spec], tuple[Shape, ...]]] = {
    "prior": lambda spec: context_shape(spec, "prior"),
    "likelihood": lambda spec: ((spec.decoder_inputs,),),
    "decoder": lambda spec: ((spec.decoder_inputs,),),
    "guide": lambda spec: (spec.data_shape, *context_shape(spec, "encoder")),
    "encoder": lambda spec: (encoder_shape(spec),),
}
"""The shapes of the inputs of each part, for one row."""


def _prior(spec: Spec) -> nn.Module:
    if spec.context is not None and spec.context.prior:
        return ConditionalNormal(spec.context.features(), spec.latent_dim)
    return member(PRIORS, spec.prior, spec.latent_dim)


def _likelihood(spec: Spec, decoder: nn.Module | None) -> Likelihood:
    family: Any = member(LIKELIHOODS, spec.likelihood, spec.data_shape)
    if not isinstance(getattr(family, "param_shape", None), tuple):
        raise ValueError(
            f"likelihood {spec.likelihood.kind!r}: expected a Family with param_shape, the shape "
            f"of the decoder's output for one row, got {type(family).__name__}; subclass "
            "pyro_vae.likelihoods.Family"
        )
    if decoder is None:
        widths = spec.hidden_dims[::-1]
        decoder = network_of(
            spec, spec.decoder, (spec.decoder_inputs,), family.param_shape, widths
        )
        if spec.context is not None and spec.context.decoder:
            decoder = in_layers(spec, decoder)
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
    z = zeros_like(likelihood, (spec.decoder_inputs,))
    p = called("likelihood", likelihood, z)
    if not isinstance(p, TorchDistributionMixin):
        gives_pyro_kind(likelihood)
    support, _ = data_support(likelihood, spec.decoder_inputs)
    missing = MissingAtRandom(spec.data_shape, support, _together(spec, p))
    return OwnLikelihood(likelihood, missing.to(z))


def _together(spec: Spec, p: Distribution) -> dict[str, list[int]]:
    """The cells that are missing together: all of a row whose distribution knows no marginals."""
    if observes_each(p):
        return {}
    return {"a row": list(range(math.prod(spec.data_shape)))}


def _posterior(spec: Spec, encoder: nn.Module | None) -> Posterior:
    given = context_shape(spec, "encoder")
    if given:
        encoder = encoder_with_context(spec, encoder)
    elif encoder is None:
        encoder = network_of(
            spec, spec.encoder, encoder_shape(spec), None, spec.hidden_dims
        )
    shapes = (encoder_shape(spec), *given)
    zeros = [zeros_like(encoder, shape) for shape in shapes]
    features = called("encoder", encoder, *zeros)
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
    family = member(GUIDES, spec.guide, features.shape[1], spec.latent_dim)
    weight = zeros_like(encoder, ())
    return Posterior(standardize.to(weight), encoder, family.to(weight))

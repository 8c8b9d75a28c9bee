"""The networks of a model, and any other member of a registry, from the description."""

import math
from typing import Any

from torch import nn
from torch.distributions import Distribution

from pyro_vae.kind_options import Options, qualified_name
from pyro_vae.networks import NETWORKS, Shape, Standardize, standardized_shape
from pyro_vae.networks.classifier import Classifier
from pyro_vae.networks.context import EncoderWithContext, InEveryLayer
from pyro_vae.registry import Registry
from pyro_vae.spec.check import called, zeros_like
from pyro_vae.spec.description import Spec

PERCEPTRONS = ("mlp", "gated_mlp", "residual")
"""The networks that take any vector; e(c) stands beside the features of all others."""


def member(registry: Registry, options: Options, *context: Any) -> nn.Module:
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


def encoder_shape(spec: Spec) -> Shape:
    """The shape of the encoder's input for one row."""
    return standardized_shape(spec.data_shape, spec.missing != "none")


def context_shape(spec: Spec, part: str) -> tuple[Shape, ...]:
    """The shape of the context of one row, for a part that takes it."""
    if spec.context is None or not getattr(spec.context, part):
        return ()
    return ((len(spec.context.resolved_levels),),)


def encoder_with_context(spec: Spec, own: nn.Module | None) -> EncoderWithContext:
    """The encoder of q(z | x, c), from the user's own network or from that of the description."""
    assert spec.context is not None
    shape = encoder_shape(spec)
    at_inputs = own is None and spec.encoder.kind in PERCEPTRONS
    if at_inputs:
        shape = (math.prod(shape) + spec.context.width,)
    network = own
    if network is None:
        network = network_of(spec, spec.encoder, shape, None, spec.hidden_dims)
    if at_inputs:
        network = in_layers(spec, network)
    features = spec.context.features()
    return EncoderWithContext(network, features, at_inputs=at_inputs)


def classifier_of(spec: Spec) -> Classifier:
    """The network of q(y | x, c), like the encoder's; a perceptron beside an encoder of the user's.

    Example:
        >>> spec = Spec(data_shape=(4,), context={"label": 3})
        >>> classifier_of(spec).head.out_features
        3
    """
    assert spec.context is not None
    classes = spec.context.classes
    assert classes is not None
    chosen = spec.encoder
    if chosen.kind == "custom":
        chosen = Spec(data_shape=spec.data_shape).encoder
    shape = encoder_shape(spec)
    network = network_of(spec, chosen, shape, None, spec.hidden_dims)
    encoded = called("encoder", network, zeros_like(network, shape))
    return Classifier(
        Standardize(spec.data_shape, spec.standardize, 0.0, spec.missing != "none"),
        network,
        encoded.shape[1],
        spec.context.features_without_label(),
        classes,
    )


def in_layers(spec: Spec, network: nn.Module) -> nn.Module:
    """The network as it is, or with e(c), the last numbers of its input, in all its layers."""
    assert spec.context is not None
    if spec.context.layers == "first":
        return network
    assert isinstance(network, nn.Sequential)
    return InEveryLayer(network, spec.context.width)


def network_of(
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
    return member(NETWORKS, options.model_copy(update=inherited), in_shape, out_shape)

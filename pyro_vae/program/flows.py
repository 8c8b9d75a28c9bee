"""Normalizing flows as source: of p(z), and of q(z | x)."""

from collections.abc import Mapping
from typing import Any

from pyro_vae.networks.invertible import BINS
from pyro_vae.program.snippet import STANDARD_NORMAL, Snippet, positive, zeros

SPLINE = (
    f'spline = {{"shapes": [({BINS},), ({BINS},), ({BINS - 1},)]}}',
    'spline["univariate"] = partial(zuko.transforms.MonotonicRQSTransform, slope=1e-3)',
)
"""The lines of what makes a masked transform one of splines."""


def masked(
    name: str, sizes: tuple[Any, ...], spline: bool, wrapper: str = ""
) -> tuple[str, ...]:
    """The lines that make masked transforms of zuko's.

    Arguments:
        name: of the attribute.
        sizes: dimension, context, passes, count and hidden widths.
        spline: whether they are splines.
        wrapper: a class that each is wrapped in.
    """
    given = ", ".join(map(repr, sizes))
    lines: tuple[str, ...] = (f"transforms = masked_transforms({given})",)
    if spline:
        lines = (*SPLINE, f"transforms = masked_transforms({given}, **spline)")
    if wrapper:
        made = f"nn.ModuleList({wrapper}(each) for each in transforms)"
        return *lines, f"self.{name} = {made}"
    return *lines, f'self.{name} = nn.ModuleDict({{"steps": transforms}})'


def flow_prior(module: Any, prefix: str, options: Mapping[str, Any]) -> Snippet:
    """p(z) as the density of z that layers map to N(0, I)."""
    (size,) = module.loc.shape
    hidden = tuple(options["hidden_dims"])
    name = f"{prefix}layers"
    if options["transform"] == "coupling":
        sizes = [tuple(layer.sizes) for layer in module.layers]
        made = f"Coupling(*each, {hidden}) for each in sizes"
        layers: tuple[str, ...] = (
            f"sizes = {sizes}",
            f"self.{name} = nn.ModuleList({made})",
        )
    else:
        of_layers = (size, 0, size, options["transforms"], hidden)
        is_spline = options["transform"] == "spline"
        layers = masked(name, of_layers, is_spline, "Autoregressive")
    return Snippet(
        (zeros(size), *layers),
        (
            f"noise = {STANDARD_NORMAL}",
            f"return Flow(noise, self.{name})",
        ),
    )


def flow_guide(family: Any, options: Mapping[str, Any], latent_dim: int) -> Snippet:
    """q(z | x) as the density of z = loc + scale T(noise)."""
    head = family.base.head
    features = head.in_features
    context = options["context_dim"]
    passes = family.transform.passes
    hidden = tuple(options["hidden_dims"])
    sizes = (latent_dim, context, passes, options["transforms"], hidden)
    linear = f"nn.Linear({features}, {head.out_features})"
    return Snippet(
        (
            f'self.z_base = nn.ModuleDict({{"head": {linear}}})',
            f"self.z_context = nn.Linear({features}, {context})",
            *masked("z_transform", sizes, options["transform"] == "spline"),
        ),
        (
            "loc, raw_scale = self.z_base.head(features).chunk(2, -1)",
            "context = self.z_context(features)",
            "steps = [step(context) for step in self.z_transform.steps]",
            "transform = zuko.transforms.ComposedTransform(*steps)",
            f"return Flowed(loc, {positive('raw_scale')}, transform)",
        ),
    )

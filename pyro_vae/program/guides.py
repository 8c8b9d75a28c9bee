"""q(z | x) as source: from the features of the encoder to a distribution over z."""

from collections.abc import Callable
from typing import Any

from pyro_vae.kind_options import Options
from pyro_vae.program.flows import flow_guide
from pyro_vae.program.snippet import Snippet, positive, refuse


def guide(family: Any, options: Options, latent_dim: int) -> Snippet:
    """The source of a guide's family.

    Arguments:
        family: the module.
        options: its kind and options.
        latent_dim: length of z.

    Raises:
        ValueError: a kind whose density takes more than a few lines.
    """
    if options.kind == "flow":
        return flow_guide(family, options.options(), latent_dim)
    if options.kind not in GUIDES:
        refuse("guide", repr(options.kind), "your q(z | x) into the method posterior")
    return GUIDES[options.kind](family, latent_dim)


def _linear(name: str, layer: Any) -> str:
    return f"self.{name} = {_layer(layer)}"


def _layer(layer: Any) -> str:
    return f"nn.Linear({layer.in_features}, {layer.out_features})"


def _mean_field(family: Any, latent_dim: int) -> Snippet:
    return Snippet(
        (_linear("z_head", family.head),),
        (
            "loc, raw_scale = self.z_head(features).chunk(2, -1)",
            f"return dist.Normal(loc, {positive('raw_scale')}).to_event(1)",
        ),
    )


def _low_rank(family: Any, latent_dim: int) -> Snippet:
    return Snippet(
        (_linear("z_head", family.head), _linear("z_factor", family.factor)),
        (
            "loc, raw_scale = self.z_head(features).chunk(2, -1)",
            f"loadings = self.z_factor(features).unflatten(-1, ({latent_dim}, {family.rank}))",
            f"scale = {positive('raw_scale', 1e-3)}",
            "return dist.LowRankMultivariateNormal(loc, loadings, scale.square())",
        ),
    )


def _full_rank(family: Any, latent_dim: int) -> Snippet:
    return Snippet(
        (
            _linear("z_loc", family.loc),
            _linear("z_diagonal", family.diagonal),
            _linear("z_lower", family.lower),
        ),
        (
            f"diagonal = {positive('self.z_diagonal(features)')}",
            f"lower = self.z_lower(features).unflatten(-1, ({latent_dim}, {latent_dim}))",
            "scale_tril = lower.tril(-1) + torch.diag_embed(diagonal)",
            "return dist.MultivariateNormal(self.z_loc(features), scale_tril=scale_tril)",
        ),
    )


def _delta(family: Any, latent_dim: int) -> Snippet:
    return Snippet(
        (_linear("z_head", family.head),),
        ("return dist.Delta(self.z_head(features), event_dim=1)",),
    )


def _hierarchical(family: Any, latent_dim: int) -> Snippet:
    if family.direction == "bottom_up":
        refuse(
            "guide",
            "'hierarchical' from the bottom up",
            "your q(z | x) into the method posterior",
        )
    second = family.second
    hidden = f"nn.Linear({second.hidden.in_features}, {second.hidden.out_features}"
    return Snippet(
        (
            f'self.z_first = nn.ModuleDict({{"head": {_layer(family.first.head)}}})',
            "self.z_second = nn.ModuleDict()",
            f'self.z_second["see"] = {_layer(second.see)}',
            f'self.z_second["hidden"] = {hidden}, bias=False)',
            f'self.z_second["head"] = nn.ModuleDict({{"head": {_layer(second.head.head)}}})',
        ),
        (
            "loc, raw_scale = self.z_first.head(features).chunk(2, -1)",
            f"top = dist.Normal(loc, {positive('raw_scale')}).to_event(1)",
            "seen = self.z_second.see(features)",
            "",
            "def below(z2):",
            "    hidden = nn.functional.silu(self.z_second.hidden(z2) + seen)",
            "    loc, raw_scale = self.z_second.head.head(hidden).chunk(2, -1)",
            f"    return dist.Normal(loc, {positive('raw_scale')}).to_event(1)",
            "",
            f"return TwoNormals(top, below, {latent_dim})",
        ),
    )


GUIDES: dict[str, Callable[[Any, int], Snippet]] = {
    "mean_field": _mean_field,
    "low_rank": _low_rank,
    "full_rank": _full_rank,
    "delta": _delta,
    "hierarchical": _hierarchical,
}

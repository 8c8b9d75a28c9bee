"""p(z) as source."""

from collections.abc import Callable
from typing import Any

from pyro_vae.kind_options import Options
from pyro_vae.program.flows import flow_prior
from pyro_vae.program.networks import assigned
from pyro_vae.program.snippet import (
    STANDARD_NORMAL,
    Snippet,
    positive,
    refuse,
    tensor,
    tensor_of,
    zeros,
)

PREFIX = "prior_"


def prior(module: Any, options: Options) -> Snippet:
    """The source of a prior.

    Arguments:
        module: the prior.
        options: its kind and options.

    Raises:
        ValueError: a kind whose density takes more than a few lines.
    """
    if options.kind == "hierarchical":
        return _hierarchical(module, options.options()["top"])
    if options.kind not in {*PRIORS, "flow"}:
        refuse("prior", _named(options.kind), "your p(z) into the method prior")
    return _of_kind(module, PREFIX, options)


def _of_kind(module: Any, prefix: str, options: Options) -> Snippet:
    if options.kind == "flow":
        return flow_prior(module, prefix, options.options())
    return PRIORS[options.kind](module, prefix)


def _named(kind: str) -> str:
    """A kind in a message."""
    return "your own" if kind == "custom" else repr(kind)


def _standard_normal(module: Any, prefix: str) -> Snippet:
    (size,) = module.loc.shape
    return Snippet((zeros(size),), (f"return {STANDARD_NORMAL}",))


def _normal(module: Any, prefix: str) -> Snippet:
    (size,) = module.loc.shape
    scale = tensor_of(module.scale, f"{prefix}scale", (size,))
    loc = f"self.{prefix}loc"
    return Snippet(
        (f"{loc} = nn.Parameter(torch.zeros({size}))", *scale.start),
        (f"return dist.Normal({loc}, {scale.expression}).to_event(1)",),
    )


def _laplace(module: Any, prefix: str) -> Snippet:
    (size,) = module.loc.shape
    scale = tensor_of(module.scale, f"{prefix}scale", (size,))
    return Snippet(
        (zeros(size), *scale.start),
        (
            f"scale = {scale.expression} + self.zeros",
            "return dist.Laplace(self.zeros, scale).to_event(1)",
        ),
    )


def _student_t(module: Any, prefix: str) -> Snippet:
    (size,) = module.loc.shape
    df = tensor_of(module.df, f"{prefix}df", ())
    scale = tensor_of(module.scale, f"{prefix}scale", (size,))
    return Snippet(
        (zeros(size), *df.start, *scale.start),
        (
            f"df = {df.expression} + self.zeros",
            f"scale = {scale.expression} + self.zeros",
            "return dist.StudentT(df, self.zeros, scale).to_event(1)",
        ),
    )


def _mixture(module: Any, prefix: str) -> Snippet:
    count, size = module.loc.shape
    scale = tensor_of(module.scale, f"{prefix}scale", (count, size))
    return Snippet(
        (
            f"self.{prefix}logits = nn.Parameter(torch.zeros({count}))",
            f"self.{prefix}loc = nn.Parameter(torch.randn({count}, {size}))",
            *scale.start,
        ),
        (
            f"scale = {scale.expression}",
            f"normals = dist.Normal(self.{prefix}loc, scale).to_event(1)",
            f"weights = dist.Categorical(logits=self.{prefix}logits)",
            "return dist.MixtureSameFamily(weights, normals)",
        ),
    )


def _vamp(module: Any, prefix: str) -> Snippet:
    count, *shape = module.raw.shape
    return Snippet(
        (
            f"self.{prefix}raw = nn.Parameter(torch.randn({count}, {str(shape)[1:-1]}))",
            f'self.register_buffer("{prefix}mean", {tensor(shape)})',
            f'self.register_buffer("{prefix}std", {tensor(shape, 1.0)})',
        ),
        (
            f"rows = self.{prefix}mean + self.{prefix}std * self.{prefix}raw",
            f"weights = dist.Categorical(logits=rows.new_zeros({count}))",
            "return dist.MixtureSameFamily(weights, self.posterior(rows))",
        ),
    )


def _flat(module: Any, prefix: str) -> Snippet:
    shape = f"torch.Size([{module.origin.shape[0]}])"
    return Snippet(
        lines=(
            "real = dist.constraints.real_vector",
            f"return dist.ImproperUniform(real, torch.Size(), {shape})",
        )
    )


def _hierarchical(module: Any, options: Options) -> Snippet:
    kind = options.kind
    if kind not in {*PRIORS, "flow"} or kind == "vamp":
        refuse("prior.hierarchical.top", repr(kind), "your p(z₂) into the method prior")
    top = _of_kind(module.top, "prior_top_", options)
    *before, last = top.lines
    return Snippet(
        (*top.start, *assigned("prior_net", module.net)),
        (
            "def below(z2):",
            "    loc, raw_scale = self.prior_net(z2).unbind(-2)",
            f"    return dist.Normal(loc, {positive('raw_scale')}).to_event(1)",
            "",
            *before,
            last.replace("return ", "top = "),
            f"return TwoLevels(top, below, {module.latent_dim})",
        ),
    )


PRIORS: dict[str, Callable[[Any, str], Snippet]] = {
    "standard_normal": _standard_normal,
    "normal": _normal,
    "laplace": _laplace,
    "student_t": _student_t,
    "mixture": _mixture,
    "vamp": _vamp,
    "flat": _flat,
}

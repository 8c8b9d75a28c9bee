"""A model in the symbols of its parts, as it is printed."""

from torch import nn

from pyro_vae.data.names import shortened
from pyro_vae.guides import Posterior
from pyro_vae.likelihoods import Likelihood
from pyro_vae.spec import Context, Parts, Spec
from pyro_vae.spec.effect import Effect

__all__ = ["symbols_of"]


def symbols_of(spec: Spec, parts: Parts) -> str:
    """The three distributions of a model, one in each line."""
    prior, likelihood, posterior = (_symbols(part) for part in parts)
    if spec.context is not None:
        return _given(spec.context, spec, (prior, likelihood, posterior))
    return (
        f"  p(z)      {prior:<32} z {(spec.latent_dim,)}\n"
        f"  p(x | z)  {likelihood:<32} x {spec.data_shape}{_missing(spec)}\n"
        f"  q(z | x)  {posterior}"
    )


def _given(context: Context, spec: Spec, symbols: tuple[str, str, str]) -> str:
    """The three distributions given a context, each of what it depends on."""
    prior, likelihood, posterior = symbols
    p_z = "p(z | c)" if context.prior else "p(z)"
    p_x = "p(x | z, c)" if context.decoder else "p(x | z)"
    q_z = "q(z | x, c)" if context.encoder else "q(z | x)"
    names = "" if context.table is None else f": {shortened(context.table.names)}"
    return (
        f"  {p_z:<11}  {prior:<32} z {(spec.latent_dim,)}\n"
        f"  {p_x:<11}  {likelihood:<32} x {spec.data_shape}{_missing(spec)}\n"
        f"  {q_z:<11}  {posterior:<32} c {(context.size,)}{names}"
        + "".join(map(_effect, context.effects))
    )


def _effect(effect: Effect) -> str:
    """The line of a random effect."""
    scale = "s learned" if effect.scale == "learned" else f"s = {effect.scale:g}"
    symbols = f"u ~ N(0, s² I), {scale}"
    shape = (effect.levels, effect.dim)
    return f"\n  {'p(u)':<11}  {symbols:<32} u {shape}: {effect.name!r}"


def _missing(spec: Spec) -> str:
    if spec.self_masking is not None:
        return ", cells missing by their values"
    return ", cells missing at random" if spec.missing == "at_random" else ""


def _symbols(part: nn.Module) -> str:
    """The distribution of a part in symbols, as its family writes it; of a user's part its type."""
    family = part.family if isinstance(part, Likelihood | Posterior) else part
    return family.extra_repr() or type(family).__name__

"""A model in the symbols of its parts, as it is printed."""

from torch import nn

from pyro_vae.guides import Posterior
from pyro_vae.likelihoods import Likelihood
from pyro_vae.spec import Parts, Spec

__all__ = ["symbols_of"]


def symbols_of(spec: Spec, parts: Parts) -> str:
    """The three distributions of a model, one in each line."""
    prior, likelihood, posterior = (_symbols(part) for part in parts)
    return (
        f"  p(z)      {prior:<32} z {(spec.latent_dim,)}\n"
        f"  p(x | z)  {likelihood:<32} x {spec.data_shape}{_missing(spec)}\n"
        f"  q(z | x)  {posterior}"
    )


def _missing(spec: Spec) -> str:
    if spec.self_masking is not None:
        return ", cells missing by their values"
    return ", cells missing at random" if spec.missing == "at_random" else ""


def _symbols(part: nn.Module) -> str:
    """The distribution of a part in symbols, as its family writes it; of a user's part its type."""
    family = part.family if isinstance(part, Likelihood | Posterior) else part
    return family.extra_repr() or type(family).__name__

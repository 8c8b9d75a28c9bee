"""Priors p(z): a module that you call without arguments and that gives a distribution with event shape (latent_dim,).

A new family is one file with a constructor `(latent_dim, *, options)` under `@PRIORS.register(kind)`, imported here.
"""

from pyro_vae.priors.base import PRIORS, Constant
from pyro_vae.priors.flat import Flat
from pyro_vae.priors.standard_normal import StandardNormal

__all__ = ["PRIORS", "Constant", "Flat", "StandardNormal"]

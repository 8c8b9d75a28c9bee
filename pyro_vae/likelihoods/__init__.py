"""Likelihoods p(x | z): a decoder, and a family that turns its output into a distribution over x.

A new family is one file with a `Family` under `@LIKELIHOODS.register(kind)`, imported here.
"""

from pyro_vae.likelihoods.base import LIKELIHOODS, Family, Likelihood
from pyro_vae.likelihoods.bernoulli import Bernoulli
from pyro_vae.likelihoods.binomial import Binomial
from pyro_vae.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vae.likelihoods.normal import Normal

__all__ = ["LIKELIHOODS", "Bernoulli", "Binomial", "ContinuousBernoulli", "Family", "Likelihood", "Normal"]

"""Likelihoods p(x | z): a decoder, and a family that turns its output into a distribution over x.

A new family is one file with a `Family` under `@LIKELIHOODS.register(kind)`, imported here.
"""

from pyro_vae.likelihoods.base import LIKELIHOODS, Family, Likelihood
from pyro_vae.likelihoods.bernoulli import Bernoulli
from pyro_vae.likelihoods.beta import Beta
from pyro_vae.likelihoods.beta_binomial import BetaBinomial
from pyro_vae.likelihoods.binomial import Binomial
from pyro_vae.likelihoods.categorical import Categorical
from pyro_vae.likelihoods.continuous_bernoulli import ContinuousBernoulli
from pyro_vae.likelihoods.discretized_logistic import DiscretizedLogistic
from pyro_vae.likelihoods.distribution import AnyDistribution
from pyro_vae.likelihoods.gamma import Gamma
from pyro_vae.likelihoods.laplace import Laplace
from pyro_vae.likelihoods.log_normal import LogNormal
from pyro_vae.likelihoods.mixed import Mixed
from pyro_vae.likelihoods.multinomial import Multinomial
from pyro_vae.likelihoods.negative_binomial import NegativeBinomial
from pyro_vae.likelihoods.normal import Normal
from pyro_vae.likelihoods.ordinal import Ordinal
from pyro_vae.likelihoods.poisson import Poisson
from pyro_vae.likelihoods.student_t import StudentT
from pyro_vae.likelihoods.zero_inflated import (
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)

__all__ = [
    "LIKELIHOODS",
    "AnyDistribution",
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Family",
    "Gamma",
    "Laplace",
    "Likelihood",
    "LogNormal",
    "Mixed",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
]

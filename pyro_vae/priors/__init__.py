"""Priors p(z): modules that are called without arguments and give a distribution over z.

Its event shape is (latent_dim,). A new family is one file with a constructor
`(latent_dim, *, options)` under `@PRIORS.register(kind)`, imported here.
"""

from pyro_vae.priors.base import PRIORS, Constant
from pyro_vae.priors.flat import Flat
from pyro_vae.priors.flow import Flow
from pyro_vae.priors.hierarchical import Hierarchical
from pyro_vae.priors.laplace import Laplace
from pyro_vae.priors.mixture import Mixture
from pyro_vae.priors.normal import Normal
from pyro_vae.priors.standard_normal import StandardNormal
from pyro_vae.priors.student_t import StudentT
from pyro_vae.priors.vamp import Vamp

__all__ = [
    "PRIORS",
    "Constant",
    "Flat",
    "Flow",
    "Hierarchical",
    "Laplace",
    "Mixture",
    "Normal",
    "StandardNormal",
    "StudentT",
    "Vamp",
]

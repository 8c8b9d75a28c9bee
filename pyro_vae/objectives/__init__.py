"""Objectives: (model, guide, x) -> a loss in nats per row, which goes down; the ELBO reported is
the plain one.
"""

from pyro_vae.objectives.base import OBJECTIVES, Objective, Terms, analytic_kl, traces
from pyro_vae.objectives.elbo import ELBO, KL
from pyro_vae.objectives.iwae import IWAE, Renyi

__all__ = [
    "ELBO",
    "IWAE",
    "KL",
    "OBJECTIVES",
    "Objective",
    "Renyi",
    "Terms",
    "analytic_kl",
    "traces",
]

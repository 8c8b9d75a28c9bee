"""Objectives: (model, guide, x) -> a loss in nats for each row, which is minimised."""

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

"""Guides: variational families q(z | x), from an encoder's features to a distribution over z.

A new family is one file with a constructor `(features, latent_dim, *, options)` under
`@GUIDES.register(kind)`.
"""

from pyro_vae.guides.base import GUIDES, Posterior
from pyro_vae.guides.delta import Delta
from pyro_vae.guides.flow import Flow
from pyro_vae.guides.full_rank import FullRank
from pyro_vae.guides.hierarchical import Hierarchical
from pyro_vae.guides.low_rank import LowRank
from pyro_vae.guides.mean_field import MeanField
from pyro_vae.guides.semi_amortized import SemiAmortized

__all__ = [
    "GUIDES",
    "Delta",
    "Flow",
    "FullRank",
    "Hierarchical",
    "LowRank",
    "MeanField",
    "Posterior",
    "SemiAmortized",
]

"""Estimators for scikit-learn: a density and an imputer, for pipelines and searches."""

from pyro_vae.sklearn.density import VAEDensity
from pyro_vae.sklearn.imputer import VAEImputer

__all__ = ["VAEDensity", "VAEImputer"]

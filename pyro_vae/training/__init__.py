"""Training: one step, the loop, and what is written to disk."""

from pyro_vae.training.checkpoint import load, save
from pyro_vae.training.fit import Run, fit
from pyro_vae.training.options import FitOptions
from pyro_vae.training.step import Info, State, step

__all__ = ["FitOptions", "Info", "Run", "State", "fit", "load", "save", "step"]

"""Training: one step, eager or compiled, the loop, and what is written to disk."""

from pyro_vae.saving import load, save
from pyro_vae.training.callbacks import Callback
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.ensemble import fit_ensemble
from pyro_vae.training.loop import fit
from pyro_vae.training.options import FitOptions
from pyro_vae.training.run import Run
from pyro_vae.training.train_step import Info, State, step

__all__ = [
    "Callback",
    "CompiledStep",
    "FitOptions",
    "Info",
    "Run",
    "State",
    "fit",
    "fit_ensemble",
    "load",
    "save",
    "step",
]

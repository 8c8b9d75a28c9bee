"""A model as text: a program of torch and Pyro alone, formulas, and symbols."""

from pyro_vae.program.latex import latex_of
from pyro_vae.program.symbols import symbols_of
from pyro_vae.program.writer import program_of

__all__ = ["latex_of", "program_of", "symbols_of"]

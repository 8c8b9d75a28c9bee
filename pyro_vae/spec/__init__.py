"""The declarative description of a model: keywords, a dict, TOML or JSON in, modules out."""

from pyro_vae.spec.adoption import joined, random_weights, require_fixed_weights
from pyro_vae.spec.check import data_support
from pyro_vae.spec.context import Context
from pyro_vae.spec.description import SLOTS, Spec, read
from pyro_vae.spec.kinds import as_pyro, support_of
from pyro_vae.spec.parts import Parts, bind_programs, build, describe

__all__ = [
    "SLOTS",
    "Context",
    "Parts",
    "Spec",
    "as_pyro",
    "bind_programs",
    "build",
    "data_support",
    "describe",
    "joined",
    "random_weights",
    "read",
    "require_fixed_weights",
    "support_of",
]

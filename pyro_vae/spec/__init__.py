"""The declarative description of a model: keyword arguments, a dict, TOML or JSON in; modules out; and back."""

from pyro_vae.spec.check import data_support
from pyro_vae.spec.description import SLOTS, Spec, read
from pyro_vae.spec.parts import Parts, build, describe

__all__ = ["SLOTS", "Parts", "Spec", "build", "data_support", "describe", "read"]

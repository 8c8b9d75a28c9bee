"""Questions about a fitted model: tensors in, named results out.

The names are in `__init__.pyi`, and each is imported when it is first used: the ArviZ bridge needs
no torch. No module has the name of a function that is reached from here, which would hide the
function.
"""

from pyro_vae.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)

"""Variational autoencoders as Pyro programs: models, amortized guides, and answers with errors.

The public names are in `__init__.pyi`. Each is imported when it is first used, so that `import
pyro_vae` is quick and needs no torch.
"""

import os

from pyro_vae.lazy_names import lazy_names as _lazy_names
from pyro_vae.version import __version__ as __version__

# An installed package contains `guides` and `analysis`; in a checkout they lie beside this folder.
_HERE = os.path.dirname(__file__)
_ABOVE = os.path.dirname(_HERE)
_in_a_checkout = os.path.isfile(os.path.join(_ABOVE, "pyproject.toml"))
if _in_a_checkout and not os.path.isfile(os.path.join(_HERE, "guides", "__init__.py")):
    __path__.append(_ABOVE)

__getattr__, __dir__, __all__ = _lazy_names(__name__, __file__)

"""The version of the library, in one place that everything may import."""

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """The versions of the library and of those that its numbers depend on.

    Example:
        >>> sorted(versions())
        ['numpy', 'pyro', 'pyro_vae', 'torch']
    """
    # loaded here: this file is read for the version alone, too
    import numpy as np
    import pyro
    import torch

    return {
        "pyro_vae": __version__,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "numpy": np.__version__,
    }

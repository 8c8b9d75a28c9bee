"""Variational autoencoders as Pyro programs: a model, an amortized guide, and answers with their standard errors."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae import data
    from pyro_vae.analysis import (
        Until,
        annealed,
        audit,
        bidirectional,
        calibration,
        checkup,
        class_probabilities,
        compare,
        encode,
        evidence,
        inference_gaps,
        latent_use,
        reconstruct,
        sample,
        to_arviz,
    )
    from pyro_vae.guides import GUIDES
    from pyro_vae.likelihoods import LIKELIHOODS
    from pyro_vae.networks import NETWORKS
    from pyro_vae.objectives import ELBO, IWAE, OBJECTIVES, Renyi
    from pyro_vae.priors import PRIORS
    from pyro_vae.spec import Spec
    from pyro_vae.training import Run, fit, load, save
    from pyro_vae.vae import VAE

__version__ = "0.1.0"

_HOMES = {
    "ELBO": "objectives",
    "GUIDES": "guides",
    "IWAE": "objectives",
    "LIKELIHOODS": "likelihoods",
    "NETWORKS": "networks",
    "OBJECTIVES": "objectives",
    "PRIORS": "priors",
    "VAE": "vae",
    "Renyi": "objectives",
    "Run": "training",
    "Spec": "spec",
    "Until": "analysis",
    "annealed": "analysis",
    "audit": "analysis",
    "bidirectional": "analysis",
    "calibration": "analysis",
    "checkup": "analysis",
    "class_probabilities": "analysis",
    "compare": "analysis",
    "encode": "analysis",
    "evidence": "analysis",
    "fit": "training",
    "inference_gaps": "analysis",
    "latent_use": "analysis",
    "load": "training",
    "reconstruct": "analysis",
    "sample": "analysis",
    "save": "training",
    "to_arviz": "analysis",
}

__all__ = [
    "ELBO",
    "GUIDES",
    "IWAE",
    "LIKELIHOODS",
    "NETWORKS",
    "OBJECTIVES",
    "PRIORS",
    "VAE",
    "Renyi",
    "Run",
    "Spec",
    "Until",
    "annealed",
    "audit",
    "bidirectional",
    "calibration",
    "checkup",
    "class_probabilities",
    "compare",
    "data",
    "encode",
    "evidence",
    "fit",
    "inference_gaps",
    "latent_use",
    "load",
    "reconstruct",
    "sample",
    "save",
    "to_arviz",
]


def __getattr__(name: str) -> Any:
    """Names are looked up when they are first used, so that `import pyro_vae` is quick and needs no torch."""
    if name in _HOMES:
        value = getattr(importlib.import_module(f"pyro_vae.{_HOMES[name]}"), name)
    elif name in __all__:
        value = importlib.import_module(f"pyro_vae.{name}")
    else:
        raise AttributeError(f"module 'pyro_vae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

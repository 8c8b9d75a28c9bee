"""Variational autoencoders as Pyro programs: a model, an amortized guide, and answers with their
standard errors.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from pyro_vae.version import __version__ as __version__

if TYPE_CHECKING:
    from pyro_vae import analysis, data, guides, likelihoods, networks, objectives, priors, training
    from pyro_vae.analysis import (
        Anomaly,
        Until,
        annealed,
        anomaly,
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
    from pyro_vae.experiment.run import Outcome, run
    from pyro_vae.guides import GUIDES
    from pyro_vae.likelihoods import LIKELIHOODS
    from pyro_vae.networks import NETWORKS
    from pyro_vae.objectives import ELBO, IWAE, OBJECTIVES, Renyi
    from pyro_vae.priors import PRIORS
    from pyro_vae.spec import Spec
    from pyro_vae.training import Run, fit, load, save
    from pyro_vae.vae import VAE

# An installed package contains `guides` and `analysis`; in a checkout they lie beside this folder.
_HERE = os.path.dirname(__file__)
_ABOVE = os.path.dirname(_HERE)
_in_a_checkout = os.path.isfile(os.path.join(_ABOVE, "pyproject.toml"))
if _in_a_checkout and not os.path.isfile(os.path.join(_HERE, "guides", "__init__.py")):
    __path__.append(_ABOVE)

_ROOMS = (
    "analysis",
    "data",
    "guides",
    "likelihoods",
    "networks",
    "objectives",
    "priors",
    "training",
)

_HOMES = {
    "Anomaly": "analysis",
    "ELBO": "objectives",
    "GUIDES": "guides",
    "IWAE": "objectives",
    "LIKELIHOODS": "likelihoods",
    "NETWORKS": "networks",
    "OBJECTIVES": "objectives",
    "PRIORS": "priors",
    "VAE": "vae",
    "Outcome": "experiment.run",
    "Renyi": "objectives",
    "Run": "training",
    "Spec": "spec",
    "Until": "analysis",
    "annealed": "analysis",
    "anomaly": "analysis",
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
    "run": "experiment.run",
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
    "Anomaly",
    "Outcome",
    "Renyi",
    "Run",
    "Spec",
    "Until",
    "analysis",
    "annealed",
    "anomaly",
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
    "guides",
    "inference_gaps",
    "latent_use",
    "likelihoods",
    "load",
    "networks",
    "objectives",
    "priors",
    "reconstruct",
    "run",
    "sample",
    "save",
    "to_arviz",
    "training",
]


def __getattr__(name: str) -> Any:
    """Names are looked up when they are first used, so that `import pyro_vae` is quick and needs no
    torch.
    """
    if name in _HOMES:
        value = getattr(importlib.import_module(f"pyro_vae.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"pyro_vae.{name}")
    else:
        raise AttributeError(f"module 'pyro_vae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

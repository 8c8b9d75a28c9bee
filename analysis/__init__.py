"""Questions about a fitted pair: tensors in, named results out. Names are lazy: the ArviZ bridge needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.analysis.draws import to_arviz
    from pyro_vae.analysis.importance import Evidence, Summary, evidence
    from pyro_vae.analysis.latent import Codes, Samples, encode, rate, reconstruct, sample

_HOMES = {
    "Codes": "latent",
    "Evidence": "importance",
    "Samples": "latent",
    "Summary": "importance",
    "encode": "latent",
    "evidence": "importance",
    "rate": "latent",
    "reconstruct": "latent",
    "sample": "latent",
    "to_arviz": "draws",
}

__all__ = [
    "Codes",
    "Evidence",
    "Samples",
    "Summary",
    "encode",
    "evidence",
    "rate",
    "reconstruct",
    "sample",
    "to_arviz",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyro_vae.analysis' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(f"pyro_vae.analysis.{_HOMES[name]}"), name)
    return value

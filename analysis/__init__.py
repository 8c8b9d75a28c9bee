"""Questions about a fitted pair: tensors in, named results out. Names are lazy: the ArviZ bridge needs no torch.

No module has the name of a function that is reached from here: importing the module would hide the function.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.analysis.ais import Annealed, annealed
    from pyro_vae.analysis.brackets import Bracket, bidirectional
    from pyro_vae.analysis.checks import Checkup, Finding, checkup, installation
    from pyro_vae.analysis.comparison import Comparison, compare
    from pyro_vae.analysis.draws import to_arviz
    from pyro_vae.analysis.gaps import Gaps, inference_gaps
    from pyro_vae.analysis.importance import evidence
    from pyro_vae.analysis.latent import Codes, Samples, class_probabilities, encode, rate, reconstruct, sample
    from pyro_vae.analysis.latent_space import LatentUse, latent_use
    from pyro_vae.analysis.nuts import Audit, audit
    from pyro_vae.analysis.proposals import PROPOSALS
    from pyro_vae.analysis.reliability import Evidence, Summary, Until
    from pyro_vae.analysis.sbc import Calibration, calibration

_HOMES = {
    "PROPOSALS": "proposals",
    "Annealed": "ais",
    "Audit": "nuts",
    "Bracket": "brackets",
    "Calibration": "sbc",
    "Checkup": "checks",
    "Codes": "latent",
    "Comparison": "comparison",
    "Evidence": "reliability",
    "Finding": "checks",
    "Gaps": "gaps",
    "LatentUse": "latent_space",
    "Samples": "latent",
    "Summary": "reliability",
    "Until": "reliability",
    "annealed": "ais",
    "audit": "nuts",
    "bidirectional": "brackets",
    "calibration": "sbc",
    "checkup": "checks",
    "class_probabilities": "latent",
    "compare": "comparison",
    "encode": "latent",
    "evidence": "importance",
    "inference_gaps": "gaps",
    "installation": "checks",
    "latent_use": "latent_space",
    "rate": "latent",
    "reconstruct": "latent",
    "sample": "latent",
    "to_arviz": "draws",
}

__all__ = [
    "PROPOSALS",
    "Annealed",
    "Audit",
    "Bracket",
    "Calibration",
    "Checkup",
    "Codes",
    "Comparison",
    "Evidence",
    "Finding",
    "Gaps",
    "LatentUse",
    "Samples",
    "Summary",
    "Until",
    "annealed",
    "audit",
    "bidirectional",
    "calibration",
    "checkup",
    "class_probabilities",
    "compare",
    "encode",
    "evidence",
    "inference_gaps",
    "installation",
    "latent_use",
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

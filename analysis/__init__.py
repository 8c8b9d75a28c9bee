"""Questions about a fitted pair: tensors in, named results out. Names are lazy: the ArviZ bridge
needs no torch.

No module has the name of a function that is reached from here: importing the module would hide the
function.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_vae.analysis.annealing.ais import Annealed, annealed
    from pyro_vae.analysis.annealing.bidirectional_mc import Bracket, bidirectional
    from pyro_vae.analysis.export.draws import to_arviz
    from pyro_vae.analysis.gaps.gaps import inference_gaps
    from pyro_vae.analysis.gaps.results import Gaps
    from pyro_vae.analysis.latent.codes import (
        Codes,
        Samples,
        class_probabilities,
        encode,
        rate,
        reconstruct,
        sample,
    )
    from pyro_vae.analysis.latent.results import LatentUse
    from pyro_vae.analysis.latent.use import latent_use
    from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
    from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
    from pyro_vae.analysis.marginal_likelihood.proposals import PROPOSALS
    from pyro_vae.analysis.marginal_likelihood.results import Evidence
    from pyro_vae.analysis.marginal_likelihood.until import Until
    from pyro_vae.analysis.outliers.results import Anomaly
    from pyro_vae.analysis.outliers.scores import anomaly
    from pyro_vae.analysis.posterior_checks.nuts import audit
    from pyro_vae.analysis.posterior_checks.nuts_results import Audit
    from pyro_vae.analysis.posterior_checks.sbc import calibration
    from pyro_vae.analysis.posterior_checks.sbc_results import Calibration
    from pyro_vae.analysis.report.checks import checkup
    from pyro_vae.analysis.report.comparison import Comparison, compare
    from pyro_vae.analysis.report.gradients import gradient_errors
    from pyro_vae.analysis.report.known_answers import installation
    from pyro_vae.analysis.report.prior_samples import Match, samples_match_density
    from pyro_vae.analysis.report.results import Checkup
    from pyro_vae.analysis.results.verdicts import Finding

_HOMES = {
    "PROPOSALS": "marginal_likelihood.proposals",
    "Annealed": "annealing.ais",
    "Anomaly": "outliers.results",
    "Audit": "posterior_checks.nuts_results",
    "Bracket": "annealing.bidirectional_mc",
    "Calibration": "posterior_checks.sbc_results",
    "Checkup": "report.results",
    "Codes": "latent.codes",
    "Comparison": "report.comparison",
    "Evidence": "marginal_likelihood.results",
    "Finding": "results.verdicts",
    "Gaps": "gaps.results",
    "LatentUse": "latent.results",
    "Measure": "marginal_likelihood.measure",
    "Match": "report.prior_samples",
    "Samples": "latent.codes",
    "Until": "marginal_likelihood.until",
    "annealed": "annealing.ais",
    "anomaly": "outliers.scores",
    "audit": "posterior_checks.nuts",
    "bidirectional": "annealing.bidirectional_mc",
    "calibration": "posterior_checks.sbc",
    "checkup": "report.checks",
    "class_probabilities": "latent.codes",
    "compare": "report.comparison",
    "encode": "latent.codes",
    "evidence": "marginal_likelihood.importance_sampling",
    "gradient_errors": "report.gradients",
    "inference_gaps": "gaps.gaps",
    "installation": "report.known_answers",
    "latent_use": "latent.use",
    "measure_of": "marginal_likelihood.measure",
    "rate": "latent.codes",
    "reconstruct": "latent.codes",
    "sample": "latent.codes",
    "samples_match_density": "report.prior_samples",
    "to_arviz": "export.draws",
}

__all__ = [
    "PROPOSALS",
    "Annealed",
    "Anomaly",
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
    "Match",
    "Measure",
    "Samples",
    "Until",
    "annealed",
    "anomaly",
    "audit",
    "bidirectional",
    "calibration",
    "checkup",
    "class_probabilities",
    "compare",
    "encode",
    "evidence",
    "gradient_errors",
    "inference_gaps",
    "installation",
    "latent_use",
    "measure_of",
    "rate",
    "reconstruct",
    "sample",
    "samples_match_density",
    "to_arviz",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyro_vae.analysis' has no attribute {name!r}")
    globals()[name] = value = getattr(
        importlib.import_module(f"pyro_vae.analysis.{_HOMES[name]}"), name
    )
    return value

# The public names of `pyro_vae.analysis`, and where each is: read by `__init__.py`.

from pyro_vae.analysis.annealing.ais import Annealed as Annealed
from pyro_vae.analysis.annealing.ais import annealed as annealed
from pyro_vae.analysis.annealing.bidirectional_mc import Bracket as Bracket
from pyro_vae.analysis.annealing.bidirectional_mc import bidirectional as bidirectional
from pyro_vae.analysis.bridge.draws import to_arviz as to_arviz
from pyro_vae.analysis.classification.classifying import classify as classify
from pyro_vae.analysis.classification.results import Classification as Classification
from pyro_vae.analysis.contexts.dependence import independence as independence
from pyro_vae.analysis.contexts.dependence_results import Independence as Independence
from pyro_vae.analysis.contexts.level_effects import LevelEffects as LevelEffects
from pyro_vae.analysis.contexts.level_effects import random_effects as random_effects
from pyro_vae.analysis.contexts.transferred import Transfer as Transfer
from pyro_vae.analysis.contexts.transferring import transfer as transfer
from pyro_vae.analysis.gaps.gaps import inference_gaps as inference_gaps
from pyro_vae.analysis.gaps.results import Gaps as Gaps
from pyro_vae.analysis.imputation.imputing import impute as impute
from pyro_vae.analysis.imputation.mechanism import MissingMechanism as MissingMechanism
from pyro_vae.analysis.imputation.mechanism import (
    missing_mechanism as missing_mechanism,
)
from pyro_vae.analysis.imputation.pooling import Pooled as Pooled
from pyro_vae.analysis.imputation.pooling import pool as pool
from pyro_vae.analysis.imputation.prediction import predict as predict
from pyro_vae.analysis.imputation.results import Imputation as Imputation
from pyro_vae.analysis.latent.codes import Codes as Codes
from pyro_vae.analysis.latent.codes import Samples as Samples
from pyro_vae.analysis.latent.codes import encode as encode
from pyro_vae.analysis.latent.codes import rate as rate
from pyro_vae.analysis.latent.codes import reconstruct as reconstruct
from pyro_vae.analysis.latent.codes import sample as sample
from pyro_vae.analysis.latent.decoded import manifold as manifold
from pyro_vae.analysis.latent.decoded import traverse as traverse
from pyro_vae.analysis.latent.decoded_results import Manifold as Manifold
from pyro_vae.analysis.latent.decoded_results import Traversal as Traversal
from pyro_vae.analysis.latent.probabilities import (
    class_probabilities as class_probabilities,
)
from pyro_vae.analysis.latent.results import LatentUse as LatentUse
from pyro_vae.analysis.latent.use import latent_use as latent_use
from pyro_vae.analysis.marginal_likelihood.importance_sampling import (
    evidence as evidence,
)
from pyro_vae.analysis.marginal_likelihood.measure import Measure as Measure
from pyro_vae.analysis.marginal_likelihood.measure import measure_of as measure_of
from pyro_vae.analysis.marginal_likelihood.proposals import PROPOSALS as PROPOSALS
from pyro_vae.analysis.marginal_likelihood.results import Evidence as Evidence
from pyro_vae.analysis.marginal_likelihood.until import Until as Until
from pyro_vae.analysis.outliers.results import Anomaly as Anomaly
from pyro_vae.analysis.outliers.scores import anomaly as anomaly
from pyro_vae.analysis.posterior_checks.nuts import audit as audit
from pyro_vae.analysis.posterior_checks.nuts_results import Audit as Audit
from pyro_vae.analysis.posterior_checks.sbc import calibration as calibration
from pyro_vae.analysis.posterior_checks.sbc_results import Calibration as Calibration
from pyro_vae.analysis.report.checks import checkup as checkup
from pyro_vae.analysis.report.comparison import Comparison as Comparison
from pyro_vae.analysis.report.comparison import compare as compare
from pyro_vae.analysis.report.gradients import gradient_errors as gradient_errors
from pyro_vae.analysis.report.known_answers import installation as installation
from pyro_vae.analysis.report.prior_samples import Match as Match
from pyro_vae.analysis.report.prior_samples import (
    samples_match_density as samples_match_density,
)
from pyro_vae.analysis.report.results import Checkup as Checkup
from pyro_vae.analysis.results.verdicts import Finding as Finding

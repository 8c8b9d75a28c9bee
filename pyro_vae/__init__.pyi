# The public names of `pyro_vae`, and where each is: read by `__init__.py`.

from pyro_vae import analysis as analysis
from pyro_vae import data as data
from pyro_vae import guides as guides
from pyro_vae import likelihoods as likelihoods
from pyro_vae import networks as networks
from pyro_vae import objectives as objectives
from pyro_vae import priors as priors
from pyro_vae import training as training
from pyro_vae.analysis import Anomaly as Anomaly
from pyro_vae.analysis import Until as Until
from pyro_vae.analysis import annealed as annealed
from pyro_vae.analysis import anomaly as anomaly
from pyro_vae.analysis import audit as audit
from pyro_vae.analysis import bidirectional as bidirectional
from pyro_vae.analysis import calibration as calibration
from pyro_vae.analysis import checkup as checkup
from pyro_vae.analysis import class_probabilities as class_probabilities
from pyro_vae.analysis import compare as compare
from pyro_vae.analysis import encode as encode
from pyro_vae.analysis import evidence as evidence
from pyro_vae.analysis import impute as impute
from pyro_vae.analysis import inference_gaps as inference_gaps
from pyro_vae.analysis import latent_use as latent_use
from pyro_vae.analysis import pool as pool
from pyro_vae.analysis import predict as predict
from pyro_vae.analysis import reconstruct as reconstruct
from pyro_vae.analysis import sample as sample
from pyro_vae.analysis import to_arviz as to_arviz
from pyro_vae.experiment.run import Outcome as Outcome
from pyro_vae.experiment.run import run as run
from pyro_vae.guides import GUIDES as GUIDES
from pyro_vae.likelihoods import LIKELIHOODS as LIKELIHOODS
from pyro_vae.networks import NETWORKS as NETWORKS
from pyro_vae.objectives import ELBO as ELBO
from pyro_vae.objectives import IWAE as IWAE
from pyro_vae.objectives import OBJECTIVES as OBJECTIVES
from pyro_vae.objectives import Renyi as Renyi
from pyro_vae.priors import PRIORS as PRIORS
from pyro_vae.spec import Spec as Spec
from pyro_vae.training import Run as Run
from pyro_vae.training import fit as fit
from pyro_vae.training import load as load
from pyro_vae.training import save as save
from pyro_vae.vae import VAE as VAE

__version__: str

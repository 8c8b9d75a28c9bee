"""Models with a label for the tests, one of which has its densities in closed form."""

from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from pyro_vae import VAE

CLASSES, FEATURES, LATENT = 3, 4, 2
ROWS = 8
NAN = float("nan")
SCALE = 0.5


def moved(vae: VAE) -> VAE:
    """The model with weights at which no term is zero."""
    generator = torch.Generator().manual_seed(1)
    for weight in vae.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
    return vae


def a_vae(label: Any = CLASSES, *, layers: str = "first", **fields: Any) -> VAE:
    """A small model whose context is a label."""
    fields = {"hidden_dims": (8,), "latent_dim": LATENT} | fields
    context = {"label": label, "layers": layers}
    return moved(VAE(data_shape=(FEATURES,), context=context, **fields))


def linear_vae() -> VAE:
    """p(x | z, y) = N(W (z, one-hot y) + b, 0.25 I), with p(y) and p(z | y) of their own."""
    label = {"classes": CLASSES, "prior": "learned"}
    decoder = nn.Linear(LATENT + CLASSES, FEATURES)
    likelihood = {"kind": "normal", "scale": SCALE}
    return a_vae(label, decoder=decoder, likelihood=likelihood)


def exact_log_joint(vae: VAE, x: Tensor) -> np.ndarray:
    """log p(x, y) of a linear model for each label, (n, K)."""
    decoder: Any = vae.likelihood.decoder
    weight, bias = (
        part.detach().double().numpy() for part in (decoder.weight, decoder.bias)
    )
    loading = weight[:, :LATENT]
    prior: Any = vae.prior
    every = torch.arange(float(CLASSES)).unsqueeze(-1)
    loc, scale = (part.detach().double().numpy() for part in prior.moments(every))
    assert vae.model.label is not None
    log_p = vae.model.label().detach().double().numpy()
    columns = []
    for label in range(CLASSES):
        mean = loading @ loc[label] + weight[:, LATENT + label] + bias
        noise = SCALE**2 * np.eye(FEATURES)
        covariance = loading @ np.diag(scale[label] ** 2) @ loading.T + noise
        density = multivariate_normal(mean, covariance)
        columns.append(log_p[label] + density.logpdf(x.numpy()))
    return np.stack(columns, 1)


def exact_log_marginal(joint: np.ndarray, label: Tensor) -> np.ndarray:
    """log p(x, y) where y is known, and log p(x) elsewhere."""
    unknown = label.isnan().numpy()
    chosen = label.nan_to_num().long().numpy()
    known = joint[np.arange(len(joint)), chosen]
    return np.where(unknown, logsumexp(joint, axis=1), known)


def rows() -> Tensor:
    return torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0))


def labels() -> Tensor:
    """Half of them known, (n, 1)."""
    return torch.tensor([0.0, 1.0, 2.0, 0.0, NAN, NAN, NAN, NAN]).unsqueeze(-1)

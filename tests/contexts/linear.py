"""A linear-Gaussian model with known effects of its context, and what is exact for it.

    z ~ N(M c, diag t²),   x | z, c ~ N(W z + B c + b, s² I)

The columns of W are orthogonal, so that the posterior has independent dimensions.
"""

import numpy as np
import torch
from scipy.stats import multivariate_normal

from pyro_vae import VAE
from pyro_vae.networks.positive_numbers import RAW_OF_ONE, raw_of

W = np.array([[1.0, 0.0], [-0.5, 0.8], [0.7, 0.4 / 0.7 / 0.8 * 0.7], [0.0, 0.5]])
W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
B = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, -1.0, 0.3], [0.2, 0.0, 0.8]])
b = np.array([3.0, 0.0, -1.0, 0.5])
M = np.array([[0.5, -1.0, 0.0], [0.0, 0.3, 1.0]])
t = np.array([0.7, 1.5])
s = 0.5


class Linear:
    """The truth; without `prior` the prior is N(0, I)."""

    def __init__(self, prior: bool = True) -> None:
        self.prior = prior
        self.M = M if prior else 0 * M
        self.t = t if prior else np.ones(2)
        self.variance = 1 / (1 / self.t**2 + (W**2).sum(0) / s**2)

    def mean(self, c: np.ndarray) -> np.ndarray:
        """E[x | c]."""
        return c @ (B + W @ self.M).T + b

    @property
    def covariance(self) -> np.ndarray:
        """Var[x | c]."""
        return W @ np.diag(self.t**2) @ W.T + s**2 * np.eye(4)

    def log_marginal(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c)."""
        return multivariate_normal(np.zeros(4), self.covariance).logpdf(
            x - self.mean(c)
        )

    def posterior_mean(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """E[z | x, c]."""
        residual = x - c @ B.T - b
        return self.variance * (residual @ W / s**2 + c @ self.M.T / self.t**2)

    def drawn(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """n rows and their contexts."""
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(n, 3))
        z = c @ self.M.T + self.t * rng.normal(size=(n, 2))
        return z @ W.T + c @ B.T + b + s * rng.normal(size=(n, 4)), c

    def vae(self, **fields: object) -> VAE:
        """The same as a model, whose guide is the posterior."""
        vae = VAE(
            data_shape=(4,),
            latent_dim=2,
            likelihood={"kind": "normal", "scale": s},
            hidden_dims=(),
            standardize="none",
            context={"dim": 3, "prior": self.prior},
            **fields,
        ).double()
        decoder = vae.likelihood.decoder[1]
        family = vae.posterior.family
        head = getattr(family, "base", family).head
        with torch.no_grad():
            decoder.weight.copy_(torch.tensor(np.hstack([W, B])))
            decoder.bias.copy_(torch.tensor(b))
            of_x = self.variance[:, None] * W.T / s**2
            of_c = self.variance[:, None] * (self.M / self.t[:, None] ** 2) - of_x @ B
            head.weight.zero_()
            head.weight[:2, :4] = torch.tensor(of_x)
            head.weight[:2, -3:] = torch.tensor(of_c)
            sd = [raw_of(float(one)) for one in np.sqrt(self.variance)]
            head.bias.copy_(torch.tensor(np.array([*(-of_x @ b), *sd])))
            if self.prior:
                raw = [raw_of(float(one)) - RAW_OF_ONE for one in self.t]
                vae.prior.head.weight[:2] = torch.tensor(self.M)
                vae.prior.head.bias.copy_(torch.tensor(np.array([0.0, 0.0, *raw])))
        return vae

"""A VAE as a density estimator and a transformer of scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from pyro_vae.analysis import encode, evidence, sample
from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.arguments import as_int, warn_caller
from pyro_vae.data.frame_output import as_frame
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.sklearn.base import VAEEstimator, parameters

__all__ = ["VAEDensity"]


class VAEDensity(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, VAEEstimator
):
    """A variational autoencoder for pipelines and searches: log p(x), codes, and new rows.

    `score_samples` is log p(x) = log ∫ p(x | z) p(z) dz in nats, by `evidence`; `transform` is the
    mean of q(z | x). A DataFrame makes a model of its columns, each with a likelihood that suits
    it, as `VAE.from_data` does; an array makes one with the same likelihood for all columns.

    Scores of two models are comparable where both are densities, or both are probabilities, of the
    same numbers: not a normal with a Poisson, and not after a transformer with other units.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).

    Arguments:
        latent_dim: length of z.
        prior, guide, hidden_dims, activation, encoder, decoder, standardize, denoise: fields of
            `VAE`.
        likelihood: as in `VAE`; None: a normal, and for a DataFrame that of each column.
        missing: as in `VAE`; "auto": "at_random" where a cell of the rows of `fit` is missing.
        columns, drop: of a DataFrame, as in `VAE.from_data`.
        epochs, min_steps, batch_size, lr, schedule, objective, beta, kl_warmup_epochs, ema_decay,
            validation, patience, device: options of `pyro_vae.fit`.
        fit_options: other options of `pyro_vae.fit` by name.
        num_particles: draws of z for each row of `score_samples`.
        verbose: whether training shows its progress.
        random_state: of the initial weights and all draws but those of `sample`.

    Raises:
        ValueError: fields, options or rows as `VAE` and `fit` refuse them; raised by `fit`.

    Example:
        >>> x = torch.randn(60, 3).numpy()
        >>> density = VAEDensity(latent_dim=2, epochs=2, num_particles=50, random_state=0).fit(x)
        >>> density.transform(x).shape, density.score_samples(x).shape, density.sample(5).shape
        ((60, 2), (60,), (5, 3))
    """

    def __init__(
        self,
        *,
        latent_dim: int = 8,
        prior: Any = "standard_normal",
        likelihood: Any = None,
        guide: Any = "mean_field",
        hidden_dims: Sequence[int] = (128, 128),
        activation: str = "silu",
        encoder: Any = "mlp",
        decoder: Any = "mlp",
        standardize: str = "feature",
        denoise: float = 0.0,
        missing: Any = "auto",
        columns: Any = None,
        drop: Sequence[str] = (),
        epochs: int | None = None,
        min_steps: int = 4000,
        batch_size: int = 128,
        lr: float = 2e-3,
        schedule: Any = "cosine",
        objective: Any = None,
        beta: float = 1.0,
        kl_warmup_epochs: int = 0,
        ema_decay: float | None = None,
        validation: Any = 0.1,
        patience: int | None = None,
        device: str = "auto",
        fit_options: Mapping[str, Any] | None = None,
        num_particles: int = 1000,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.__dict__.update(parameters(locals()))

    @property
    def _n_features_out(self) -> int:
        check_is_fitted(self)
        return self.vae_.spec.latent_dim

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a new model to the rows X, (n, features) or a DataFrame; y is not read.

        Raises:
            ValueError: rows that are no table of numbers, fewer than two of them, fields and
                options that don't fit.
        """
        return self._fit_to(self._learned_rows(X))

    def transform(self, X: Any) -> np.ndarray:
        """E[z] under q(z | x), (n, latent_dim), of the rows X.

        Raises:
            ValueError: rows that don't fit the model.
        """
        rows = self._rows(X)
        return encode(self.vae_, rows).loc

    def inverse_transform(self, X: Any) -> Any:
        """E[x | z] for codes X of shape (n, latent_dim): an array, or a DataFrame after one.

        A category has no mean: it is the most probable one.

        Raises:
            ValueError: codes of another length.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64, input_name="X")
        latent_dim = self.vae_.spec.latent_dim
        if codes.shape[1] != latent_dim:
            raise ValueError(
                f"X: expected codes of shape (n, {latent_dim}), got {codes.shape}; pass what "
                "transform returns"
            )
        where = placement_of(self.vae_)
        with evaluation(self.vae_):
            z = torch.from_numpy(codes).to(where.device, where.dtype)
            numbers = as_numpy(representative(self.vae_.likelihood(z)))
        table = self.vae_.spec.table
        return numbers if table is None else as_frame(table, numbers)

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x) of each row in nats, (n,), by `evidence`; of the observed cells of a row.

        Raises:
            ValueError: rows that don't fit the model; an autoencoder, which has no density.
        """
        return self._evidence(X).log_marginal

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x) over the rows in nats; it warns where some are not to be trusted.

        Raises:
            ValueError: rows that don't fit the model; an autoencoder, which has no density.
        """
        found = self._evidence(X)
        if found.unreliable_share > 0:
            warn_caller(
                f"score: log p(x) of {found.unreliable_share:.1%} of the rows is not to be "
                "trusted, their k-hat is too high and the score likely too low; take more "
                "num_particles, or another guide"
            )
        return float(found.log_marginal.mean())

    def _evidence(self, X: Any) -> Any:
        rows = self._rows(X)
        return evidence(
            self.vae_,
            rows,
            num_particles=self.num_particles,
            seed=self._seed,
            progress=False,
        )

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draw rows from p(x): an array (n_samples, features), or a DataFrame after one.

        Arguments:
            n_samples: how many rows.
            random_state: of the draws; None takes NumPy's global generator.

        Raises:
            ValueError: n_samples below 1; a flat prior, from which nothing can be drawn.
        """
        check_is_fitted(self)
        count = as_int(n_samples, "n_samples", at_least=1)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        drawn = sample(self.vae_, count, seed=seed)
        return drawn.x if self.vae_.spec.table is None else drawn

"""A VAE as an imputer of scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import narwhals as nw
import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from pyro_vae.analysis import impute
from pyro_vae.analysis.imputation.conditional import require_draws
from pyro_vae.data.columns import CONSTANT
from pyro_vae.data.frames import is_frame, opened
from pyro_vae.sklearn.base import VAEEstimator, parameters

__all__ = ["VAEImputer"]


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, VAEEstimator):
    """Missing cells by a variational autoencoder: E[x_missing | x_observed], or a draw.

    Numbers get their conditional mean and categories the most probable one, by `impute`; with
    `sample_posterior` all missing cells of a row are drawn together from p(x_missing | x_observed).
    Observed cells stay as they are, in a DataFrame with their types. A column without any cell in
    `fit` is dropped, as by scikit-learn's imputers, and columns that are not modelled, such as
    identifiers, stay as they are.

    References:
        MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei, Frellsen,
        2019).

    Arguments:
        sample_posterior: draw the cells; several imputers with different random_state give the
            tables of a multiple imputation.
        keep_empty_features: keep columns without any cell in `fit`, filled with 0.
        num_particles: draws of z for each row with missing cells.
        missing: as in `VAE`: "at_random", or "self_masking" where large or small cells are missing
            more often.
        latent_dim, prior, likelihood, guide, hidden_dims, activation, encoder, decoder,
            standardize, denoise, columns, drop, epochs, min_steps, batch_size, lr, schedule,
            objective, beta, kl_warmup_epochs, ema_decay, validation, patience, device, fit_options,
            verbose, random_state: as in `VAEDensity`.

    Raises:
        ValueError: fields, options or rows as `VAE` and `fit` refuse them; raised by `fit`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> x[::4, 1] = np.nan
        >>> imputer = VAEImputer(latent_dim=1, epochs=2, num_particles=200, random_state=0)
        >>> bool(np.isnan(imputer.fit_transform(x)).any())
        False
    """

    def __init__(
        self,
        *,
        sample_posterior: bool = False,
        keep_empty_features: bool = False,
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
        missing: Any = "at_random",
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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a new model to the rows X, nan where a cell is missing; y is not read.

        Raises:
            ValueError: rows that are no table, fewer than two of them, no observed cell, fields
                and options that don't fit, fewer draws than `impute` takes.
        """
        require_draws(self.num_particles)
        rows = self._learned_rows(X)
        self._is_empty = empty_columns(rows)
        if self._is_empty.all():
            raise ValueError(
                "X: expected observed cells to learn from, got missing ones alone; pass rows with "
                "numbers in some columns"
            )
        if is_frame(rows):
            names = zip(opened(rows, "X").columns, self._is_empty, strict=True)
            self._empty_names = {name for name, is_empty in names if is_empty}
        return self._fit_to(without(rows, self._is_empty))

    def transform(self, X: Any) -> Any:
        """The rows with their missing cells filled: an array, or a DataFrame of the same library.

        Raises:
            ValueError: rows that don't fit the model.
        """
        rows = self._rows(X)
        filled = self._filled(without(rows, self._is_empty))
        if self.keep_empty_features:
            return with_zeros(filled, rows, self._is_empty)
        return filled

    def _filled(self, rows: Any) -> Any:
        """Rows of the columns that are known, without missing cells."""
        found = impute(
            self.vae_,
            rows,
            num_imputations=int(self.sample_posterior),
            num_particles=self.num_particles,
            seed=self._seed,
            progress=False,
        )
        whole = found.completed[0] if self.sample_posterior else found.mean
        if not is_frame(rows):
            return np.where(np.isnan(rows), whole, rows)
        return with_constants(whole, self.vae_.spec.table)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns that `transform` returns."""
        names: np.ndarray = super().get_feature_names_out(input_features)
        return names if self.keep_empty_features else names[~self._is_empty]


def empty_columns(rows: Any) -> np.ndarray:
    """Which columns of an array or a DataFrame have no observed cell, (D,)."""
    if not is_frame(rows):
        return np.asarray(np.isnan(rows).all(0))
    columns = opened(rows, "X").iter_columns()
    return np.array([bool(_is_missing(column).all()) for column in columns])


def _is_missing(column: Any) -> Any:
    """Which cells of a column are missing: without a value, or nan."""
    lacking = column.is_null()
    return lacking | column.is_nan() if column.dtype.is_float() else lacking


def without(rows: Any, dropped: np.ndarray) -> Any:
    """Rows without some columns."""
    if not dropped.any():
        return rows
    if not is_frame(rows):
        return rows[:, ~dropped]
    data = opened(rows, "X")
    kept = [name for name, drop in zip(data.columns, dropped, strict=True) if not drop]
    return data.select(kept).to_native()


def with_zeros(filled: Any, rows: Any, empty: np.ndarray) -> Any:
    """Filled rows with the empty columns at their positions, as zeros."""
    if not empty.any():
        return filled
    if not is_frame(rows):
        whole = np.zeros(rows.shape, filled.dtype)
        whole[:, ~empty] = filled
        return whole
    names = opened(rows, "X").columns
    zeros = [
        nw.lit(0.0).alias(name)
        for name, is_zero in zip(names, empty, strict=True)
        if is_zero
    ]
    return opened(filled, "X").with_columns(*zeros).select(names).to_native()


def _filled_with(column: Any, value: Any) -> Any:
    """A column with a value where a cell is missing; polars knows nan and null apart."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.fill_null(value)


def with_constants(frame: Any, schema: Any) -> Any:
    """A copy of a table whose columns of one value have it in each row."""
    data = opened(frame, "X")
    values = {
        column.name: column.levels[0]
        for column in schema.columns
        if column.kind == CONSTANT and column.levels and column.name in data.columns
    }
    filled = [
        _filled_with(data[name], value).alias(name) for name, value in values.items()
    ]
    whole = data.with_columns(*filled) if filled else data.clone()
    return whole.to_native()

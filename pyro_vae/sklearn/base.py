"""What the estimators share: their parameters, and how they fit a model."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pyro_vae.data.frames import is_frame, opened
from pyro_vae.sklearn.rows import checked, checked_array, checked_frame
from pyro_vae.training import fit
from pyro_vae.vae import VAE

__all__ = ["MODEL", "TRAINING", "VAEEstimator", "parameters"]

MODEL = (
    "latent_dim",
    "prior",
    "guide",
    "hidden_dims",
    "activation",
    "encoder",
    "decoder",
    "standardize",
    "denoise",
)
"""Parameters that are fields of the model under the same name."""

TRAINING = (
    "epochs",
    "min_steps",
    "batch_size",
    "lr",
    "schedule",
    "objective",
    "beta",
    "kl_warmup_epochs",
    "ema_decay",
    "validation",
    "patience",
    "device",
)
"""Parameters that are options of `fit` under the same name."""

STAND_INS = {"seed": "random_state", "progress": "verbose"}
"""Options of `fit` that scikit-learn has other words for."""


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters among the local names of a constructor.

    Example:
        >>> parameters({"self": None, "lr": 0.1})
        {'lr': 0.1}
    """
    return {name: value for name, value in given.items() if name != "self"}


class VAEEstimator(BaseEstimator):
    """An estimator that fits a `VAE`; its parameters are fields of the model and options of `fit`.

    Attributes:
        vae_: the fitted model, which every function of `pyro_vae` takes.
        history_: one row for each epoch; see `Run.history`.
        n_iter_: number of epochs.
        n_features_in_: number of columns.
        feature_names_in_: their names, where they are known.
    """

    vae_: VAE
    _empty_names: frozenset[str] | set[str] = frozenset()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit_to(self, X: Any) -> Self:
        """Fit a new model to rows that are checked."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        own = self.get_params(deep=False)
        options = {name: own[name] for name in TRAINING} | self._other_options()
        vae = self._new_model(X, seed)
        run = fit(vae, X, **options, seed=seed, progress=bool(own["verbose"]))
        # With float64 the answers for a row don't depend on the rows beside it.
        self.vae_ = run.vae.double()
        self.history_ = run.history
        self.n_iter_ = len(run.history)
        self._seed = seed
        return self

    def _other_options(self) -> dict[str, Any]:
        """The options of `fit` that are no parameters."""
        if not isinstance(self.fit_options, Mapping | None):
            raise ValueError(
                "fit_options: expected a dict of options of pyro_vae.fit, such as "
                f'{{"compile": "off"}}, got {self.fit_options!r}; pass names with values'
            )
        given: dict[str, Any] = dict(self.fit_options or {})
        named = dict.fromkeys(TRAINING, "") | STAND_INS
        for name in given:
            if name in named:
                raise ValueError(
                    f"fit_options: expected options that are no parameters of "
                    f"{type(self).__name__}, got {name!r}; pass {named[name] or name}= itself"
                )
        return given

    def _new_model(self, X: Any, seed: int) -> VAE:
        # parts of the user stay as they are: a grid fits each of them several times
        own = deepcopy(self.get_params(deep=False))
        fields = {name: own[name] for name in MODEL}
        fields["seed"] = seed
        if own["likelihood"] is not None:
            fields["likelihood"] = own["likelihood"]
        if own["missing"] != "auto":
            fields["missing"] = own["missing"]
        if is_frame(X):
            columns = self._without_empty(own["columns"])
            drop = self._without_empty(own["drop"])
            return VAE.from_data(X, columns=columns, drop=drop, **fields)
        if own["columns"] is not None or own["drop"]:
            raise ValueError(
                "columns, drop: expected a DataFrame for columns by name, got an array; pass "
                "pandas.DataFrame(X, columns=[...]), or leave both out"
            )
        if np.isnan(X).any():
            fields.setdefault("missing", "at_random")
        return VAE(data_shape=X.shape[1:], **fields)

    def _without_empty(self, named: Any) -> Any:
        """Columns by name, without those that had no observed cell and are no part of the model."""
        if not named or not self._empty_names:
            return named
        if isinstance(named, Mapping):
            pairs = named.items()
            return {name: kind for name, kind in pairs if name not in self._empty_names}
        return [name for name in named if name not in self._empty_names]

    def _learned_rows(self, X: Any) -> Any:
        """Rows to fit to, after their columns are noted."""
        self._columns: Sequence[Any] | None = None
        if not is_frame(X):
            return checked_array(self, X, fitting=True)
        rows = checked_frame(self, X, fitting=True)
        self._columns = opened(X, "X").columns
        return rows

    def _rows(self, X: Any) -> Any:
        """Rows for the fitted model."""
        check_is_fitted(self)
        return checked(self, X, self._columns)

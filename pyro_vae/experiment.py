"""From data to a number: the description of a whole run, and the run itself."""

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from pyro_vae.analysis import Evidence, encode, evidence, rate, reconstruct
from pyro_vae.analysis.importance import has_density
from pyro_vae.data import Splits, load_splits
from pyro_vae.spec import Spec
from pyro_vae.training import FitOptions
from pyro_vae.vae import VAE


class DataOptions(BaseModel):
    """The table [data]: where the rows come from and which of them are held out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(default="digits", description="'digits', or a path")
    array: str | None = Field(default=None, description="the array of a file that holds several")
    packed_bits: bool = Field(default=False, description="rows are packed by numpy.packbits(axis=1)")
    test: NonNegativeFloat = Field(default=0.2, description="share (below 1) or number of rows held out as test rows")
    seed: NonNegativeInt = Field(default=0, description="of the choice of the test rows")


class EvaluateOptions(BaseModel):
    """The table [evaluate]: how log p(x) is estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_particles: PositiveInt = Field(default=1000, description="draws for each row")
    rows: PositiveInt | None = Field(default=None, description="a random subset of the test rows; all by default")
    seed: NonNegativeInt = Field(default=0, description="of the draws and of the subset")


def _source(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Experiment(Spec):
    """The description of a run: the fields of a model, and the tables data, fit and evaluate.

    Example:
        >>> Experiment.model_validate({"data": "digits", "fit": {"epochs": 3}}).fit.epochs
        3
    """

    data_shape: tuple[PositiveInt, ...] | None = Field(  # type: ignore[assignment]
        default=None, description="shape of one row; by default that of the data, which are reshaped to it"
    )
    data: Annotated[DataOptions, BeforeValidator(_source)] = Field(default=DataOptions(), description="the rows")
    fit: FitOptions = Field(default=FitOptions(), description="training")
    evaluate: EvaluateOptions = Field(default=EvaluateOptions(), description="evaluation")

    def model_fields_of(self) -> dict[str, Any]:
        """The fields that describe the model."""
        return {name: value for name, value in self.model_dump().items() if name in Spec.model_fields}


DIGITS: dict[str, Any] = {
    "data": "digits",
    "latent_dim": 8,
    "likelihood": {"kind": "binomial", "total_count": 16},
    "hidden_dims": [256, 256],
    "fit": {"epochs": 150, "batch_size": 64, "lr": 2e-3},
}
"""The run of `pyro-vae fit` without arguments: 8 x 8 images of digits, counts from 0 to 16."""


@dataclass(frozen=True)
class Held:
    """The rows of an experiment, shaped as the model sees them.

    Attributes:
        splits: train, valid and test rows; test is never None.
        labels: of the test rows, where they are known.
    """

    splits: Splits
    labels: np.ndarray | None

    @property
    def test(self) -> np.ndarray:
        assert self.splits.test is not None
        return self.splits.test


def read_data(options: DataOptions, data_shape: tuple[int, ...] | None) -> Held:
    """Load the rows, hold out test rows where the source names none, and reshape them.

    Raises:
        ValueError: as `load_splits`; fewer rows than are held out; a shape that the rows don't have.
    """
    splits = load_splits(options.source, array=options.array, packed_bits=options.packed_bits)
    labels = _digit_labels() if options.source == "digits" else None
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    if splits.test is None:
        order = np.random.default_rng(options.seed).permutation(len(splits.train))
        held_out = math.ceil(options.test * len(order)) if options.test < 1 else int(options.test)
        if not 0 < held_out < len(order):
            raise ValueError(
                f"data.test: expected between 1 and {len(order) - 1} of the {len(order)} rows of {options.source}, "
                f"got {held_out}"
            )
        test, train = np.sort(order[:held_out]), np.sort(order[held_out:])
        parts |= {"train": splits.train[train], "test": splits.train[test]}
        labels = None if labels is None else labels[test]
    shaped = {name: None if rows is None else _reshape(rows, data_shape) for name, rows in parts.items()}
    return Held(Splits(splits.name, columns=splits.columns, **shaped), labels)  # type: ignore[arg-type]


def _reshape(rows: np.ndarray, data_shape: tuple[int, ...] | None) -> np.ndarray:
    if data_shape is None:
        return rows
    if math.prod(rows.shape[1:]) != math.prod(data_shape):
        numbers = math.prod(rows.shape[1:])
        raise ValueError(f"data_shape: expected a shape of the {numbers} numbers in a row, got {data_shape}")
    return rows.reshape(len(rows), *data_shape)


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    labels: np.ndarray = load_digits().target
    return labels


def natural_likelihood(rows: np.ndarray) -> str:
    """The likelihood where none is asked for: "bernoulli" for rows of 0 and 1, else "normal".

    Example:
        >>> natural_likelihood(np.array([[0, 1], [1, 1]]))
        'bernoulli'
    """
    return "bernoulli" if np.isin(rows[:1000], (0, 1)).all() and np.isin(rows, (0, 1)).all() else "normal"


def make_vae(experiment: Experiment, rows: np.ndarray) -> VAE:
    """The model of an experiment for rows of that shape."""
    fields = experiment.model_fields_of() | {"data_shape": rows.shape[1:]}
    if "likelihood" not in experiment.model_fields_set:
        fields["likelihood"] = natural_likelihood(rows)
    return VAE.from_spec(fields)


Metrics = dict[str, float]


def evaluate(
    vae: VAE, x: np.ndarray, options: EvaluateOptions, *, progress: bool | None = None
) -> tuple[Metrics, Evidence | None]:
    """What a fitted model says of rows that it has not seen: means over rows, in nats per row.

    Returns:
        The metrics by name, and log p(x) of each row; an autoencoder has its reconstruction error and no evidence.
    """
    if options.rows is not None and options.rows < len(x):
        x = x[np.sort(np.random.default_rng(options.seed).permutation(len(x))[: options.rows])]
    squares = np.square(reconstruct(vae, x) - x).reshape(len(x), -1).mean(1)
    metrics: Metrics = {
        "rows": len(x),
        "latent_dim": vae.spec.latent_dim,
        "active_units": encode(vae, x).active_units(),
        "mean_squared_error": float(squares.mean()),
    }
    if not has_density(vae):
        return metrics, None
    found = evidence(vae, x, num_particles=options.num_particles, seed=options.seed, progress=progress)
    return {**metrics, "rate": float(rate(vae, x).mean()), **asdict(found.summary())}, found


def table(metrics: Metrics) -> str:
    """The metrics as a person reads them."""
    m = metrics
    lines = [
        f"  active units        {m['active_units']:7.0f} of {m['latent_dim']:.0f}",
        f"  squared error       {m['mean_squared_error']:10.4g} per number, of the reconstruction",
    ]
    if "log_marginal" in m:
        lines = [
            f"  held-out ELBO       {m['elbo']:10.2f} ± {m['elbo_se']:.2f} nats per row",
            f"  held-out log p(x)   {m['log_marginal']:10.2f} ± {m['log_marginal_se']:.2f} nats per row"
            f" ({m['bits_per_dim']:.3f} bits per number)",
            f"  rate KL(q‖p)        {m['rate']:10.2f} nats per row",
            *lines,
            f"  k-hat above 0.7     {m['unreliable']:10.1%} of rows",
            f"  {m['rows']:.0f} rows, {m['num_particles']:.0f} draws each; ± is one standard error over rows",
        ]
    return "\n".join(lines)

"""From data to a number: the description of a whole run, and the run itself."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, cast

import numpy as np
from pydantic import (
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

from pyro_vae.analysis import Evidence, encode, rate, reconstruct
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.proposals import PROPOSALS
from pyro_vae.analysis.reliability import Until
from pyro_vae.analysis.sharded import sharded_evidence
from pyro_vae.registry import Choice, Options
from pyro_vae.spec import Spec
from pyro_vae.training import FitOptions
from pyro_vae.training.baseline import baseline_of
from pyro_vae.vae import VAE


class DataOptions(BaseModel):
    """The table [data]: where the rows come from and which of them are held out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(default="digits", description="'digits', or a path")
    array: str | None = Field(default=None, description="the array of a file that holds several")
    packed_bits: bool = Field(default=False, description="rows are packed by numpy.packbits(axis=1)")
    test: Annotated[NonNegativeFloat, AllowInfNan(False)] = Field(
        default=0.2, description="share (below 1) or number of rows held out as test rows"
    )
    seed: NonNegativeInt = Field(default=0, description="of the choice of the test rows")


class EvaluateOptions(BaseModel):
    """The table [evaluate]: how log p(x) is estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_particles: PositiveInt = Field(default=1000, description="draws for each row")
    proposal: Annotated[Options, Choice(PROPOSALS)] = Field(
        default=cast(Options, "guide"), validate_default=True, description="where the draws come from"
    )
    retry: Annotated[Options, Choice(PROPOSALS)] | None = Field(
        default=None, description="another proposal for the rows whose k-hat is above 0.7"
    )
    until: Until | None = Field(default=None, description="draw on until se and pareto_k are small, or max_particles")
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


def override(fields: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`fields` with each `a.b=c` put in; c is read as TOML, and as a string where it isn't TOML.

    Example:
        >>> override({"prior": "standard_normal", "fit": {"lr": 0.1}}, ["fit.epochs=3", "data=digits"])
        {'prior': 'standard_normal', 'fit': {'lr': 0.1, 'epochs': 3}, 'data': 'digits'}
    """
    changed = dict(fields)
    for setting in settings:
        path, equals, text = setting.partition("=")
        *tables, last = path.split(".")
        if not equals or not all([*tables, last]):
            raise ValueError(f"--set: expected A.B=C, got {setting!r}")
        target = changed
        for name in tables:
            inner = target.get(name, {})
            if not isinstance(inner, str | Mapping):
                raise ValueError(f"--set: expected a table at {name!r} in {setting!r}, got {inner!r}")
            named = {"source" if name == "data" else "kind": inner}
            target[name] = target = named if isinstance(inner, str) else dict(inner)
        target[last] = _value(text)
    return changed


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


DIGITS: dict[str, Any] = {
    "data": "digits",
    "latent_dim": 32,
    "likelihood": {"kind": "beta_binomial", "total_count": 16},
    "guide": {"kind": "full_rank"},
    "hidden_dims": [512, 512],
    "denoise": 0.3,
    "fit": {"epochs": 160, "batch_size": 64, "lr": 2e-3, "average": 0.998, "sleep_share": 0.1},
}
"""The run of `pyro-vae fit` without arguments: 8 x 8 images of digits, counts from 0 to 16."""


def natural_likelihood(rows: np.ndarray) -> str:
    """The likelihood where none is asked for: "bernoulli" for rows of 0 and 1, else "normal".

    Example:
        >>> natural_likelihood(np.array([[0, 1], [1, 1]]))
        'bernoulli'
    """
    parts = (rows[start : start + 1000] for start in range(0, len(rows), 1000))
    return "bernoulli" if all(np.isin(part, (0, 1)).all() for part in parts) else "normal"


def make_vae(experiment: Experiment, rows: np.ndarray) -> VAE:
    """The model of an experiment for rows of that shape."""
    fields = experiment.model_fields_of() | {"data_shape": rows.shape[1:]}
    if "likelihood" not in experiment.model_fields_set:
        grey = experiment.fit.binarize == "dynamic"
        fields["likelihood"] = "bernoulli" if grey else natural_likelihood(rows)
    return VAE.from_spec(fields)


Metrics = dict[str, float]


def some_rows(x: np.ndarray, options: EvaluateOptions) -> np.ndarray:
    """The rows that are evaluated: all, or a random subset of them in their order."""
    if options.rows is None or options.rows >= len(x):
        return x
    return x[np.sort(np.random.default_rng(options.seed).permutation(len(x))[: options.rows])]


def evaluate(
    vae: VAE, x: np.ndarray, options: EvaluateOptions, *, progress: bool | None = None
) -> tuple[Metrics, Evidence | None]:
    """What a fitted model says of rows that it has not seen: means over rows, in nats per row.

    Several processes share the work on log p(x), and each has the whole result.

    Returns:
        The metrics by name, and log p(x) of each row; an autoencoder has its reconstruction error and no evidence.
    """
    x = some_rows(x, options)
    squares = np.square(reconstruct(vae, x) - x).reshape(len(x), -1).mean(1)
    metrics: Metrics = {
        "rows": len(x),
        "latent_dim": vae.spec.latent_dim,
        "active_units": encode(vae, x).active_units(),
        "mean_squared_error": float(squares.mean()),
    }
    if not has_density(vae):
        return metrics, None
    if (baseline := baseline_of(vae, x)) is not None:
        metrics["independent"] = baseline
    how = {name: getattr(options, name) for name in ("num_particles", "proposal", "retry", "until", "seed")}
    found = sharded_evidence(vae, x, **how, progress=progress)
    return {**metrics, "rate": float(rate(vae, x).mean()), **asdict(found.summary())}, found


def table(metrics: Metrics) -> str:
    """The metrics as a person reads them."""
    m = metrics
    lines = [
        f"  active units        {m['active_units']:7.0f} of {m['latent_dim']:.0f}",
        f"  reconstruction      {m['mean_squared_error']:#10.4g} mean squared error per number",
    ]
    if "log_marginal" in m:
        share = f"{m['unreliable']:10.1%} of rows (there log p(x) is not to be trusted)"
        lines = [
            f"  held-out ELBO       {m['elbo']:10.2f} ± {m['elbo_se']:.2f} nats per row",
            f"  held-out log p(x)   {m['log_marginal']:10.2f} ± {m['log_marginal_se']:.2f} nats per row"
            f" ({m['bits_per_dim']:.3f} bits per number)",
            *_against_baseline(m),
            f"  rate KL(q‖p)        {m['rate']:10.2f} nats per row",
            *lines,
            f"  k-hat above 0.7     {'   unknown: too few draws to tell' if math.isnan(m['unreliable']) else share}",
            f"  {m['rows']:.0f} rows, {m['num_particles']:.0f} draws each; ± is one standard error over rows",
        ]
    return "\n".join(lines)


def _against_baseline(metrics: Metrics) -> list[str]:
    """What independent columns reach, and how far the model is from it."""
    if "independent" not in metrics:
        return []
    gained = metrics["log_marginal"] - metrics["independent"]
    verdict = f"the model is {gained:.2f} above" if gained > 0 else f"WARNING: the model is {-gained:.2f} below"
    return [f"  independent columns {metrics['independent']:10.2f} nats per row; {verdict}"]

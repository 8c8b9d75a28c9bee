"""The evaluation of a fitted model on rows that it has not seen: numbers, and a table of them."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.analysis import Evidence, evidence
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.latent.sharded import (
    sharded_encode,
    sharded_rate,
    sharded_reconstruct,
)
from pyro_vae.analysis.marginal_likelihood.arguments import check_arguments
from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS
from pyro_vae.analysis.marginal_likelihood.sharded import sharded_evidence
from pyro_vae.contexts import apart
from pyro_vae.data import SparseArray
from pyro_vae.durations import in_seconds
from pyro_vae.experiment.description import EvaluateOptions, some_rows
from pyro_vae.training.baseline import baseline_of
from pyro_vae.vae import VAE

Metrics = dict[str, Any]
HOW = ("num_particles", "method", "proposal", "retry", "until", "seed")
"""The options that `evidence` takes."""


def evaluate(
    vae: VAE,
    x: np.ndarray | SparseArray,
    options: EvaluateOptions,
    *,
    progress: bool | None = None,
    checkpoint: Path | None = None,
) -> tuple[Metrics, Evidence | None]:
    """The evaluation of a fitted model on held-out rows: means over rows, in nats per row.

    Several processes share the work, and each returns the whole result. What was done of log p(x)
    is in the file `checkpoint`, from which the next call goes on.

    Returns:
        The metrics by name, and log p(x) of each row; an autoencoder has its reconstruction and no
        evidence.
    """
    x = some_rows(x, options)
    metrics: Metrics = {
        "rows": len(x),
        "latent_dim": vae.spec.latent_dim,
        "active_units": sharded_encode(vae, x).active_units(),
        "unexplained_variance": unexplained_variance(
            _numeric(vae, without_contexts(vae, x)),
            _numeric(vae, sharded_reconstruct(vae, x)),
        ),
    }
    if not has_density(vae):
        return metrics, None
    baseline = baseline_of(vae, x)
    if baseline is not None:
        metrics["independent"] = baseline
    chosen = {name: getattr(options, name) for name in HOW}
    found = sharded_evidence(vae, x, **chosen, checkpoint=checkpoint, progress=progress)
    mean_rate = float(sharded_rate(vae, x).mean())
    return {**metrics, "rate": mean_rate, **evidence_metrics(found)}, found


def check_options(
    vae: VAE, x: np.ndarray | SparseArray, options: EvaluateOptions
) -> None:
    """Raise ValueError where these options of an evaluation would be refused, before any training.

    A proposal that is asked for is tried on one row.
    """
    if not has_density(vae):
        return
    retry: Any = options.retry
    check_arguments(
        options.num_particles, None, options.until, retry, "auto", options.method
    )
    if options.proposal is None and options.retry is None:
        return
    tried: dict[str, Any] = {"proposal": options.proposal, "retry": options.retry}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model that isn't trained
        evidence(vae, x[:1], num_particles=FEWEST_DRAWS, progress=False, **tried)


def without_contexts(vae: VAE, x: Any) -> Any:
    """The rows x of an experiment, which end with their contexts where the model has one."""
    if vae.spec.context is None:
        return x
    size = math.prod(vae.spec.data_shape)
    own, _ = apart(x, (size,), vae.spec.context.size)
    return own


def contexts_in(vae: VAE, x: Any) -> Any:
    """The contexts at the end of such rows."""
    assert vae.spec.context is not None
    _, contexts = apart(x, vae.spec.data_shape, vae.spec.context.size)
    return contexts


def _numeric(vae: VAE, x: np.ndarray | SparseArray) -> np.ndarray | SparseArray:
    """The columns of numbers: the positions of categories among their levels have no variance."""
    schema = vae.spec.table
    if schema is None or all(column.levels is None for column in schema.modelled):
        return x
    are_numbers = np.array([column.levels is None for column in schema.modelled])
    return np.asarray(x)[:, are_numbers]


def evidence_metrics(found: Evidence) -> Metrics:
    """The totals of an evidence by the names that they have in `metrics.json`.

    The seconds are left out: the metrics are the same for the same seed.
    """
    k_is_known = not math.isnan(found.unreliable_share)
    worst = tuple(map(int, found.worst())) if k_is_known else ()
    metrics: Metrics = {
        "rows": found.num_rows,
        "num_particles": int(found.num_particles.min()),
        "most_particles": int(found.num_particles.max()),
        "log_marginal": found.mean_log_marginal,
        "log_marginal_se": found.mean_log_marginal_se,
        "monte_carlo_se": found.monte_carlo_se,
        "elbo": found.mean_elbo,
        "elbo_se": found.mean_elbo_se,
        "median_ess": found.median_ess,
        "unreliable": found.unreliable_share,
        "worst": worst,
        "constant": int(found.constant.sum()),
        "retried": int(found.retried.sum()),
        "capped": int(found.capped.sum()),
        "capped_se": _largest(found.se[found.capped]),
        "capped_k": _largest(found.pareto_k[found.capped]),
        "low_by": found.mean_shortfall,
        "methods": found.methods,
        "measure": "" if found.measure is None else str(found.measure),
    }
    if found.measure is not None:
        metrics["symbol"] = found.measure.symbol
    # a density has the inverse of the data's units, and so no bits
    if found.measure is not None and found.measure.kind == "mass":
        metrics["bits_per_dim"] = found.bits_per_dim
    return metrics


def _largest(values: np.ndarray) -> float:
    """The largest value; nan of none."""
    return float(values.max()) if len(values) else math.nan


def unexplained_variance(
    x: np.ndarray | SparseArray, reconstructed: np.ndarray | SparseArray
) -> float:
    """Mean over columns of E(x - x̂)² / Var x over observed cells, without columns that never vary.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 1.0]])
        >>> unexplained_variance(x, np.array([[0.0, 1.0], [1.0, 1.0]]))
        0.5
    """
    rows = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    observed = ~np.isnan(rows)
    if not observed.all():
        rows = rows[:, observed.any(0)]
        reconstructed = np.asarray(reconstructed).reshape(len(x), -1)[
            :, observed.any(0)
        ]
    spread = rows.std(0) if observed.all() else np.nanstd(rows, 0)
    varies = spread > 0
    if not varies.any():
        return math.nan
    errors = np.asarray(reconstructed).reshape(rows.shape) - rows
    squares = np.square(errors[:, varies] / spread[varies])
    return float(squares.mean() if observed.all() else np.nanmean(squares))


def table(
    metrics: Metrics, *, held_out: bool = True, seconds: float | None = None
) -> str:
    """The metrics as a table.

    Arguments:
        metrics: from `evaluate`.
        held_out: whether all rows are known to be held out.
        seconds: that the evidence took.
    """
    m = metrics
    left = f"{m['unexplained_variance']:10.1%}"
    lines = [
        f"  active units        {m['active_units']:7.0f} of {m['latent_dim']:.0f}",
        f"  reconstruction      {left} of a column's variance is left, on average",
    ]
    if "log_marginal" not in m:  # an autoencoder
        return "\n".join(lines)
    rows = "held-out " if held_out else ""
    symbol = m.get("symbol", "log p(x)")
    bits = f" ({m['bits_per_dim']:.3f} bits per number)" if "bits_per_dim" in m else ""
    time = "" if seconds is None else f", {in_seconds(seconds)}"
    return "\n".join(
        [
            f"{_estimate(f'{rows}{symbol}', m['log_marginal'], m['log_marginal_se'])}{bits}",
            f"  trusted             {_trust(m)}",
            *_against_baseline(m),
            _estimate(f"{rows}ELBO", m["elbo"], m["elbo_se"]),
            f"  rate KL(q‖p)        {m['rate']:10.2f} nats per row",
            *lines,
            f"  {m['rows']:.0f} rows, {_draws(m)} each{time}; ± is one standard error over rows",
        ]
    )


def _estimate(name: str, value: float, error: float) -> str:
    width = max(30 - len(name), 8)
    return f"  {name}{value:>{width}.2f} ± {error:.2f} nats per row"


def _trust(m: Metrics) -> str:
    """The share of rows on which log p(x) can be trusted, and the methods of the estimates."""
    if math.isnan(m["unreliable"]):
        return "   unknown: too few draws to estimate k-hat"
    methods = ", ".join(f"{count} {method}" for method, count in m["methods"].items())
    if m["unreliable"] == 0:
        return f"  all rows ({methods})"
    low = ""
    if not math.isnan(m["low_by"]):
        low = f", by about {m['low_by']:.2g} nats in the mean or more"
    share = f"{1 - m['unreliable']:10.1%} of rows"
    return f"{share} ({methods}); on the others log p(x) is a low estimate{low}"


def _draws(m: Metrics) -> str:
    if m["num_particles"] == m["most_particles"]:
        return f"{m['num_particles']:.0f} draws"
    return f"{m['num_particles']:.0f} to {m['most_particles']:.0f} draws"


def _against_baseline(metrics: Metrics) -> list[str]:
    """The log density of independent columns, and the difference of the model's."""
    if "independent" not in metrics:
        return []
    baseline = metrics["independent"]
    gain = metrics["log_marginal"] - baseline
    verdict = f"the model is {gain:.2f} above"
    if gain <= 0:
        verdict = f"WARNING: the model is {-gain:.2f} below"
    return [f"  independent columns {baseline:10.2f} nats per row; {verdict}"]

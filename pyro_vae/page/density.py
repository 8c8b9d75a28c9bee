"""log p(x) of the rows: its mean and error, which rows to trust, and simple baselines."""

import math

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis import Evidence
from pyro_vae.analysis.figures.log_densities import k_hat_by_row, log_p_histograms
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.results.answer import mean_and_se
from pyro_vae.page.answers import Answers
from pyro_vae.page.baselines import Baseline, baselines
from pyro_vae.page.html import figure, grid, paragraph, table, totals
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Subject

NONE = (
    "The model is an autoencoder: its codes have no density, so there is no log p(x). Guide "
    "`mean_field` with prior `standard_normal` has one."
)

WITHOUT_CONTEXT = (
    "Where its name doesn't say so, a simple model knows nothing of the context: what this model "
    "has more may be what the context tells."
)


def log_density(subject: Subject, answers: Answers) -> str:
    """Totals, baselines, and the two pictures."""
    metrics, found = answers.evaluation
    if found is None:
        lost = f"{metrics['unexplained_variance']:.1%}"
        return paragraph(NONE) + paragraph(
            f"Its reconstruction leaves {lost} of a column's variance, on average."
        )
    simple = baselines(subject)
    caption = "Over the rows of this page; ± is one standard error over rows"
    shown = [total for total in found.totals() if total.name != "seconds"]
    pictures = [_histograms(found, simple, answers), _k_hat(found)]
    numbers = totals(caption, shown) + _compared(found, simple, found.symbol)
    if subject.given is not None:
        numbers += paragraph(WITHOUT_CONTEXT, "soft")
    return numbers + grid(pictures, "wide")


def _compared(found: Evidence, simple: list[Baseline], symbol: str = "log p(x)") -> str:
    lines = [["this model", _shown(*mean_and_se(found.log_marginal)), ""]]
    for baseline in simple:
        if baseline.reason:
            lines.append([baseline.name, f"not fitted: {baseline.reason}", ""])
            continue
        gain = _shown(*mean_and_se(found.log_marginal - baseline.log_p))
        lines.append([baseline.name, _shown(*mean_and_se(baseline.log_p)), gain])
    caption = f"{symbol} beside simple models of the same rows, in nats per row"
    head = ("model", symbol, "this model has more by")
    return table(caption, head, lines)


def _shown(mean: float, error: float) -> str:
    return f"{mean:.2f}" if math.isnan(error) else f"{mean:.2f} ± {error:.2f}"


def _histograms(found: Evidence, simple: list[Baseline], answers: Answers) -> str:
    """log p(x) of held-out and fitted rows, and of held-out rows under independent columns."""
    sets = {"these rows": found.log_marginal}
    fitted = answers.fitted
    sentence = "Rows that the model was fitted to aren't known here."
    if fitted is not None:
        sets["fitted rows"] = fitted.log_marginal
        sentence = _overfitting(found.log_marginal, fitted.log_marginal)
    independent = simple[0]
    if not independent.reason and np.isfinite(independent.log_p).any():
        sets["independent columns"] = independent.log_p
    alt = f"histograms of {found.symbol}, {', '.join(sets)}; the mean of these rows is "
    alt += f"{found.mean_log_marginal:.2f} nats"

    def draw(axes: Axes) -> None:
        log_p_histograms(axes, sets).set_xlabel(f"{found.symbol} in nats")

    picture = plot(draw, alt, width=WIDE, height=3.3)
    return figure(picture, f"{found.symbol}. {sentence}")


def _overfitting(own: np.ndarray, fitted: np.ndarray) -> str:
    """Whether fitted rows are more probable than held-out ones."""
    if min(len(own), len(fitted)) < 2:
        return "One row alone can't be compared with others."
    gain = float(fitted.mean() - own.mean())
    error = math.hypot(mean_and_se(own)[1], mean_and_se(fitted)[1])
    found = f"{abs(gain):.2f} ± {error:.2f} nats"
    if abs(gain) <= 2 * error:
        return f"Fitted rows differ from these by {found}, which may be chance."
    if gain > 0:
        return f"Fitted rows are {found} more probable than these: the model has overfitted."
    return f"Fitted rows are {found} less probable than these."


def _k_hat(found: Evidence) -> str:
    limit = khat_limit(found.num_particles)
    trusted = f"{int(found.trusted.sum())} of {found.num_rows}"
    if np.isnan(found.pareto_k).all():
        return ""
    alt = f"k-hat of each row, sorted; it is below its limit on {trusted} rows"
    picture = plot(
        lambda axes: k_hat_by_row(axes, found.pareto_k, limit),
        alt,
        width=WIDE,
        height=3.3,
    )
    caption = (
        f"k-hat, the tail index of the importance weights: {found.symbol} is reliable on {trusted} "
        "rows, where it is below the limit for the number of draws."
    )
    return figure(picture, caption)

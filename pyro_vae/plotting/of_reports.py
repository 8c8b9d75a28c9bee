"""Pictures of trainings, comparisons and check-ups."""

from matplotlib.axes import Axes

from pyro_vae.analysis import Checkup, Comparison, Finding
from pyro_vae.analysis.figures.forests import comparison_forest
from pyro_vae.analysis.figures.log_densities import log_p_histograms
from pyro_vae.analysis.figures.run_curves import elbo_of_runs
from pyro_vae.analysis.figures.verdicts import verdict_chart
from pyro_vae.experiment.outcome import Outcome
from pyro_vae.plotting.layout import Layout, Panel, layout_of
from pyro_vae.training import Run
from pyro_vae.training_curves import elbo_curve, terms_curve

MOST = 5
"""Models whose log p(x) is drawn as histograms."""


@layout_of.register
def run_layout(run: Run) -> Layout:
    """The ELBO, and rate and distortion, over the epochs."""
    if not run.history:
        raise ValueError(
            "plot: expected a run with at least one epoch, got one that has none; fit it first"
        )
    best = run.best_epoch or None

    def elbo(axes: Axes) -> None:
        elbo_curve(axes, run.history, best_epoch=best).set_title("ELBO")

    def terms(axes: Axes) -> None:
        drawn = terms_curve(axes, run.history, best_epoch=best)
        drawn.set_title("rate and distortion")

    return Layout([Panel(elbo), Panel(terms)])


@layout_of.register
def ensemble_layout(runs: list) -> Layout:  # type: ignore[type-arg]
    """The ELBO of each run over the epochs."""
    if not runs or not all(isinstance(run, Run) for run in runs):
        kinds = sorted({type(run).__name__ for run in runs}) or ["none"]
        raise ValueError(
            f"plot: expected a list of runs, as fit_ensemble gives, got {', '.join(kinds)}; pass "
            "each result by itself"
        )
    histories = {f"seed {run.options.seed}": run.history for run in runs}
    if len(histories) < len(runs):
        histories = {f"run {i}": run.history for i, run in enumerate(runs)}
    return Layout([Panel(lambda axes: elbo_of_runs(axes, histories))])


@layout_of.register
def outcome_layout(outcome: Outcome) -> Layout:
    """The training, and log p(x) of held-out rows where it is known."""
    panels = [*layout_of(outcome.run).panels]
    if outcome.evidence is not None:
        panels += layout_of(outcome.evidence).panels
    return Layout(panels, across=2)


@layout_of.register
def comparison_layout(found: Comparison) -> Layout:
    """Differences of log p(x) to the best model with standard errors; log p(x) of each."""
    columns = (found.names, found.difference, found.difference_se)
    sets = dict(zip(found.names[:MOST], found.log_marginal, strict=False))
    height = max(3.4, 1.4 + 0.35 * len(found.names))
    longest = min(30, max(map(len, found.names)))
    width = 4.0 + 0.06 * longest  # of its letters
    return Layout(
        [
            Panel(lambda axes: comparison_forest(axes, *columns), width, height),
            Panel(lambda axes: log_p_histograms(axes, sets), height=height),
        ]
    )


@layout_of.register
def checkup_layout(found: Checkup) -> Layout:
    """The verdict of each finding, with what was measured."""
    names = [one.name for one in found.findings]
    verdicts = [one.verdict for one in found.findings]
    values = [one.value for one in found.findings]
    height = 1.0 + 0.28 * len(names)
    columns = (names, verdicts, values)
    return Layout([Panel(lambda axes: verdict_chart(axes, *columns), 8.4, height)])


@layout_of.register
def finding_layout(found: Finding) -> Layout:
    """The verdict with what was measured."""
    return checkup_layout(Checkup((found,)))

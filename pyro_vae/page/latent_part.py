"""The latent space: what each dimension carries, and where the rows lie in it."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from pyro_vae.analysis import LatentUse, encode, latent_use
from pyro_vae.analysis.figures.latent_axes import aggregate_posterior, rate_by_dimension
from pyro_vae.analysis.figures.latent_map import latent_scatter
from pyro_vae.analysis.fitted import as_numpy, evaluation, posterior_of
from pyro_vae.data.columns import Column
from pyro_vae.given import of_rows
from pyro_vae.inputs import placement_of
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, paragraph, totals
from pyro_vae.page.pictures import WIDE, plot, shrink, svg
from pyro_vae.page.subject import Subject
from pyro_vae.page.traversals import traversals
from pyro_vae.rng import own_seed

DIMENSIONS = 3
"""Dimensions whose aggregate posterior is drawn, those that carry most."""
DRAWS = 10
PRIOR_DRAWS = 5000
BATCH = 256
"""Rows at once."""
MOST_LEVELS = 10
"""Levels of a column whose rows are told apart in the map."""


def latent_space(subject: Subject, answers: Answers) -> str:
    """Totals, rates, aggregate posterior and map."""
    if not subject.is_density:
        points = encode(subject.vae, subject.x, context=subject.contexts)
        units = f"{points.active_units()} of {subject.vae.spec.latent_dim}"
        about = f"{units} units are active. "
        return paragraph(about + NO_RATE) + grid([_map(subject, answers)], "wide")
    if len(subject.rows) < 2:
        return paragraph("One row alone doesn't show how the latent space is used.")
    how: dict[str, Any] = {"seed": subject.seed, "progress": False}
    use = latent_use(subject.vae, subject.x, context=subject.contexts, **how)
    codes, prior = _draws(subject, answers)
    order = np.argsort(-use.variance, kind="stable")[:DIMENSIONS]
    name = subject.code
    most = [_aggregate(codes[:, d], prior[:, d], int(d), name) for d in order]
    return "".join(
        [
            paragraph(STANDARDISED) if name == "u" else "",
            _totals(use),
            grid([_rates(use), _map(subject, answers)], "wide"),
            grid(most),
            traversals(subject, answers, codes, order),
        ]
    )


def _totals(use: LatentUse) -> str:
    caption = "Use of the latent space; ± is one standard error over rows"
    remarks = [paragraph(line) for line in use.reading.splitlines()[1:]]
    return "".join([totals(caption, use.totals()), *remarks])


STANDARDISED = (
    "The prior of z takes the context, and z tells of it by intent. What is shown is what is left: "
    "u = (z - μ(c)) / σ(c), whose prior is N(0, I) in every context."
)
NO_RATE = "The code of an autoencoder is a point, which has no rate."


def _rates(use: LatentUse) -> str:
    count = f"{use.active_units} of {len(use.variance)}"
    if np.isnan(use.rate_per_dim).all():
        reason = (
            "The rate has no form for each dimension: guide or prior have no marginals."
        )
        return figure("", f"{count} units are active. {reason}")
    alt = f"rate of each latent dimension, the largest first; {count} units are active"
    picture = plot(
        lambda axes: rate_by_dimension(axes, use.rate_per_dim, use.active),
        alt,
        width=WIDE,
        height=3.4,
    )
    caption = (
        f"Rate of each dimension; {count} units are active, with a variance of the mean above "
        f"{use.threshold}."
    )
    return figure(picture, caption)


def _draws(subject: Subject, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the aggregate posterior and of the prior, (draws, latent_dim)."""
    vae = subject.vae
    seen = of_rows(vae)
    with evaluation(vae), own_seed(subject.seed, placement_of(vae).device):
        parts = [
            posterior_of(seen, batch).sample(torch.Size([DRAWS])).flatten(0, 1)
            for batch in answers.complete.split(BATCH)
        ]
        prior = seen.prior().sample(torch.Size([PRIOR_DRAWS]))
    return torch.cat(parts).cpu().numpy(), prior.cpu().numpy()


def _aggregate(
    codes: np.ndarray, prior: np.ndarray, dimension: int, name: str = "z"
) -> str:
    shift = f"mean {codes.mean():.2f}, sd {codes.std():.2f}"
    usual = f"mean {prior.mean():.2f}, sd {prior.std():.2f}"
    alt = f"aggregate posterior of dimension {dimension}, {shift}, over the prior, {usual}"

    def draw(axes: Axes) -> None:
        aggregate_posterior(axes, codes, prior, dimension=dimension)
        axes.set_xlabel(f"{name}, dimension {dimension}")

    caption = (
        f"Blue: q({name}) of dimension {dimension}, {shift}. Grey: the prior, {usual}."
    )
    return figure(plot(draw, alt), caption)


def _map(subject: Subject, answers: Answers) -> str:
    """The posterior means, in two principal components where they have more dimensions."""
    labels, whose = _classes(subject)
    seen = of_rows(subject.vae)
    with evaluation(subject.vae):
        means = [posterior_of(seen, b).mean for b in answers.complete.split(BATCH)]
    codes = as_numpy(torch.cat(means))
    drawn = latent_scatter(codes, labels=labels)
    drawn.set_size_inches(WIDE, 3.4)
    shrink(drawn)
    axes: Any = drawn.axes[0]
    axes.spines[["top", "right"]].set_visible(False)
    # a picture this small has no room for the share of the variance in the same line
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_label_text(axis.get_label_text().replace(" (", "\n("))
    coloured = f", coloured by {whose}" if whose else ""
    alt = f"map of the posterior means of {len(codes)} rows{coloured}"
    of_row = "x" if subject.given is None else "x, c"
    mean = f"E[{subject.code} | {of_row}]"
    return figure(svg(drawn, alt), f"{mean} of each row{coloured}.")


def _classes(subject: Subject) -> tuple[np.ndarray | None, str]:
    """What tells the rows apart: their classes, or the first column with a few levels.

    The columns of the context come first: where colours are mixed, z carries nothing of them.
    """
    if subject.classes is not None:
        return subject.classes, "class"
    table = None if subject.given is None else subject.given.table
    given = () if table is None else table.modelled
    for i, column in enumerate(given):
        if _has_few_levels(column):
            every = range(len(subject.rows))
            cells = [subject.context_cells(row)[i] for row in every]
            return np.array(cells, dtype=object), column.name
    for i, own in enumerate(subject.schema_columns):
        if own is not None and _has_few_levels(own):
            cells = [subject.cell(i, number) for number in subject.flat[:, i]]
            return np.array(cells, dtype=object), own.name
    return None, ""


def _has_few_levels(column: Column) -> bool:
    return column.levels is not None and len(column.levels) <= MOST_LEVELS

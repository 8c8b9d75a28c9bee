"""What z tells of the context, the random effects of its levels, and how labels are found."""

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis import (
    Independence,
    LevelEffects,
    classify,
    independence,
    random_effects,
)
from pyro_vae.analysis.contexts.dependence import FEWEST
from pyro_vae.analysis.contexts.dependence_results import BEYOND
from pyro_vae.analysis.figures.forests import forest
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, paragraph, totals
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Subject

HOW_TO_READ = "How to read it:"
MOST = 40
"""Lines of a picture: columns that z tells most of, or levels with the largest effects."""

OF_U = "Looked at is u = (z - μ(c)) / σ(c), since the prior of z takes the context by intent."


def z_and_context(subject: Subject, answers: Answers) -> str:
    """What is found in z of each column of the context, beside what would be found by chance."""
    del answers
    if len(subject.rows) < FEWEST:
        return paragraph(
            f"What z tells of the context is found from {FEWEST} rows on, and the page is of "
            f"{len(subject.rows)}."
        )
    found = independence(
        subject.vae, subject.x, context=subject.contexts, seed=subject.seed
    )
    caption = "What z tells of the context; ± is one standard error over rows"
    looked_at = paragraph(OF_U, "soft") if subject.code == "u" else ""
    about = paragraph(_verdict(found)) + looked_at + totals(caption, found.totals())
    reading = paragraph(f"{HOW_TO_READ} {found.reading}.", "soft")
    return about + reading + grid([_information(found)], "wide")


def _verdict(found: Independence) -> str:
    """Whether what rows keep in another context has something of their own in it."""
    told = [one.name for one in found.columns_told if one.is_told]
    if not told:
        return (
            "Nothing of the context was found in z, so that rows decoded in another context keep "
            "nothing of their own one that a classifier can see."
        )
    return (
        f"z tells of {', '.join(told[:MOST])}: rows decoded in another context keep something of "
        "their own one."
    )


def _information(found: Independence) -> str:
    """The bound of the information about each column, with three standard errors."""
    most = sorted(found.columns_told, key=lambda one: -one.information)[:MOST]
    information = np.array([one.information for one in most])
    error = BEYOND * np.array([one.se for one in most])
    names = [one.name for one in most]

    def draw(axes: Axes) -> Axes:
        ends = [(information - error, information + error)]
        look = {"reference": 0.0, "xlabel": "bound of I(z; c) in nats"}
        return forest(axes, names, information, ends, **look)

    largest = f"{most[0].name} {most[0].information:.2f} nats"
    alt = f"what z tells of each column of the context, the largest is {largest}"
    height = 1.0 + 0.28 * len(most)
    caption = (
        f"A lower bound of what z tells of each column, with {BEYOND:.0f} standard errors; the "
        "dashed line is nothing."
    )
    if len(most) < len(found.columns_told):
        caption += f" The {len(most)} largest of {len(found.columns_told)}."
    return figure(plot(draw, alt, width=WIDE, height=height), caption)


def effects(subject: Subject, answers: Answers) -> str:
    """s of each random effect, and the effects of its levels."""
    del answers
    found = random_effects(subject.vae)
    numbers = totals(
        "Standard deviations of random effects before the data", found.totals()
    )
    pictures = [_levels(found, name) for name in found.scales]
    reading = paragraph(f"{HOW_TO_READ} {found.reading}.", "soft")
    return numbers + reading + grid(pictures, "wide")


def _levels(found: LevelEffects, name: str) -> str:
    """The first component of the effect of each level, with its 90 % interval."""
    own = np.flatnonzero((found.column == name) & (found.component == 0))
    chosen = own[np.argsort(-np.abs(found.mean[own]), kind="stable")[:MOST]]
    chosen = chosen[np.argsort(-found.mean[chosen], kind="stable")]
    low, high = found.interval(0.9)
    levels = [str(found.level[one]) for one in chosen]

    def draw(axes: Axes) -> Axes:
        ends = [(low[chosen], high[chosen])]
        look = {"reference": 0.0, "xlabel": "effect u"}
        return forest(axes, levels, found.mean[chosen], ends, **look)

    alt = f"effects of {len(chosen)} levels of {name} with their intervals"
    caption = f"Effects of the levels of {name}, with 90 % intervals"
    if (found.column == name).sum() > len(own):
        caption += ", first component"
    if len(chosen) < len(own):
        caption += f"; the {len(chosen)} largest of {len(own)}"
    picture = plot(draw, alt, width=WIDE, height=1.0 + 0.22 * len(chosen))
    return figure(picture, f"{caption}.")


def labels(subject: Subject, answers: Answers) -> str:
    """How well q(y | x, c) finds the labels of the rows that have one."""
    del answers
    found = classify(subject.vae, subject.x, context=subject.contexts)
    known = int((found.truth >= 0).sum())
    about = (
        f"The label of {known} of {len(found.truth)} rows is known. Unknown ones are summed out of "
        "log p(x), drawn from p(y) where the model draws rows, and the most probable one in the "
        "other parts of this page."
    )
    if not known:
        about += " Without known labels the accuracy of the others isn't known."
    numbers = totals("Labels by q(y | x) of the guide", found.totals())
    reading = paragraph(f"{HOW_TO_READ} {found.reading}.", "soft")
    return paragraph(about) + numbers + reading

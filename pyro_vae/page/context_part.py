"""What z tells of the context, the random effects of its levels, and how labels are found."""

from pyro_vae.analysis import (
    Independence,
    LevelEffects,
    classify,
    independence,
    random_effects,
)
from pyro_vae.analysis.contexts.dependence import FEWEST
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, paragraph, totals
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Subject
from pyro_vae.plotting.of_contexts import MOST, effects_panel, independence_layout

HOW_TO_READ = "How to read it:"

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
            "Nothing of the context was found in z: rows that are decoded in another context keep "
            "nothing of their own, as far as a classifier can see."
        )
    return (
        f"z tells of {', '.join(told[:MOST])}: rows that are decoded in another context keep "
        "something of their own."
    )


def _information(found: Independence) -> str:
    """The bound of the information about each column, with three standard errors."""
    (panel,) = independence_layout(found).panels
    most = max(found.columns_told, key=lambda one: one.information)
    largest = f"{most.name} {most.information:.2f} nats"
    alt = f"what z tells of each column of the context, the largest is {largest}"
    caption = (
        "A lower bound of what z tells of each column, with 3 standard errors; the dashed line is "
        "nothing."
    )
    if len(found.columns_told) > MOST:
        caption += f" The {MOST} largest of {len(found.columns_told)}."
    return figure(plot(panel.draw, alt, width=WIDE, height=panel.height), caption)


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
    components = found.component[found.column == name]
    count = int((components == 0).sum())
    alt = f"effects of {min(count, MOST)} levels of {name} with their intervals"
    caption = f"Effects of the levels of {name}, with 90 % intervals"
    if components.any():
        caption += ", first component"
    if count > MOST:
        caption += f"; the {MOST} largest of {count}"
    panel = effects_panel(found, name)
    picture = plot(panel.draw, alt, width=WIDE, height=panel.height)
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

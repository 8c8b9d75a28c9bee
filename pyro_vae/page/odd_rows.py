"""The least likely rows, and what makes each of them unlikely."""

from dataclasses import dataclass

import numpy as np

from pyro_vae.analysis import Evidence
from pyro_vae.analysis.outliers.columns import WHY, column_shares, factorises
from pyro_vae.inputs import rows_of
from pyro_vae.page.answers import Answers
from pyro_vae.page.baselines import log_p_label
from pyro_vae.page.html import figure, grid, paragraph, table
from pyro_vae.page.pictures import images
from pyro_vae.page.subject import Subject

WORST = 6
USUAL = 40
"""Other rows, whose shares are what is usual."""
DRAWS = 200
TOP = 3


@dataclass(frozen=True)
class Odd:
    """How much more each column and z add to log p(x) of the worst rows than is usual.

    What is odd adds less: it is negative.

    Attributes:
        excess: of each column in nats, (rows, D).
        rate: of z, whose part of log p(x) is -KL(p(z | x) ‖ p(z)), (rows,).
    """

    excess: np.ndarray
    rate: np.ndarray


def odd_rows(subject: Subject, answers: Answers) -> str:
    """The rows with the lowest log p(x)."""
    _, found = answers.evaluation
    if found is None:
        return paragraph("Without log p(x) no row is less likely than another.")
    worst = _least_likely(found)
    middle = float(np.median(found.log_marginal))
    about = (
        f"The {len(worst)} rows with the lowest {found.symbol}; the median of all is {middle:.2f} "
        "nats. An unlikely row isn't wrong for that, and a likely one may be: look at both."
    )
    first = next(rows_of(subject.vae, subject.rows, "rows"))[:1]
    if not factorises(subject.vae, first):
        return paragraph(f"{about} {WHY}.") + _table(subject, found, worst, None)
    # what is of the label is none of z
    of_label = log_p_label(subject.vae, answers.contexts)
    odd = _parts(subject, found.log_marginal - of_label, worst)
    if subject.image_shape is None:
        return paragraph(about) + _table(subject, found, worst, odd)
    return paragraph(about) + _pictures(subject, found, worst, odd)


def _least_likely(found: Evidence) -> np.ndarray:
    """The positions of the rows with the lowest log p(x), the lowest first."""
    log_p = np.nan_to_num(found.log_marginal, nan=-np.inf)
    return np.argsort(log_p, kind="stable")[:WORST]


def _table(
    subject: Subject, found: Evidence, worst: np.ndarray, odd: Odd | None
) -> str:
    """A line for each row; without columns where these have no part of log p(x)."""
    head = ["row", found.symbol]
    lines = [[subject.row_labels[row], _log_p(found, row)] for row in worst]
    if subject.given is not None:
        head.append("its context")
        for i, row in enumerate(worst):
            lines[i].append(subject.context_in_words(row))
    if odd is not None:
        head.append("what is odd, in nats below the usual")
        for i, row in enumerate(worst):
            lines[i].append(_why(subject, odd, i, row))
    return table("The least likely rows", head, lines)


def _log_p(found: Evidence, row: int) -> str:
    doubt = "" if found.trusted[row] else " (not trusted)"
    return f"{found.log_marginal[row]:.2f} ± {found.se[row]:.2f}{doubt}"


def _parts(subject: Subject, log_p: np.ndarray, worst: np.ndarray) -> Odd:
    """The shares of the worst rows beside those of other rows, by importance sampling."""
    others = np.setdiff1d(np.arange(len(subject.rows)), worst)
    if not len(others):
        others = worst
    random = np.random.default_rng(subject.seed)
    usual = random.choice(others, min(USUAL, len(others)), replace=False)
    how = {"num_samples": DRAWS, "seed": subject.seed}
    own = column_shares(subject.vae, subject.rows[worst], progress=False, **how).value
    other = column_shares(subject.vae, subject.rows[usual], progress=False, **how).value
    rate = own.sum(1) - log_p[worst]
    usual_rate = (other.sum(1) - log_p[usual]).mean()
    return Odd(own - other.mean(0), usual_rate - rate)


def _why(subject: Subject, odd: Odd, i: int, row: int) -> str:
    """The columns that make a row less likely, with their cells."""
    parts = np.append(odd.excess[i], odd.rate[i])
    texts = []
    for part in np.argsort(parts, kind="stable")[:TOP]:
        if parts[part] > -0.05:
            continue
        nats = f"({parts[part]:+.1f})"
        if part == len(subject.names):
            texts.append(f"its code z is unusual {nats}")
            continue
        cell = subject.cell(part, subject.flat[row, part])
        texts.append(f"{subject.names[part]} = {cell} {nats}")
    return "; ".join(texts) or "no column alone"


def _pictures(subject: Subject, found: Evidence, worst: np.ndarray, odd: Odd) -> str:
    """Each row, and beside it the pixels that make it unlikely."""
    shape = subject.image_shape
    assert shape is not None
    low, high = subject.limits
    largest = max(float(-odd.excess.min()), 1e-9)
    pictures = []
    for i, row in enumerate(worst):
        scaled = np.clip(-odd.excess[i] / largest, 0, 1) * (high - low) + low
        both = np.stack([subject.flat[row], scaled])
        name = subject.row_labels[row]
        alt = f"row {name}, and right of it how many nats each pixel is below the usual"
        picture = images(both, alt, image_shape=shape, columns=2, limits=subject.limits)
        where = subject.context_in_words(row)
        caption = f"Row {name}: {_log_p(found, row)} nats; z {odd.rate[i]:+.1f}."
        caption += f" Its context: {where}." if where else ""
        pictures.append(figure(picture, caption))
    about = (
        f"Left the row, right its pixels: white where one makes the row {largest:.1f} nats less "
        "likely than usual; z is what its code adds."
    )
    return paragraph(about) + grid(pictures)

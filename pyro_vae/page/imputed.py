"""How well the model finds cells that were hidden from it."""

import math

from pyro_vae.analysis import impute
from pyro_vae.analysis.imputation.calibration import Calibrated
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import paragraph, table, totals
from pyro_vae.page.subject import Subject

PARTICLES = 500


def imputation(subject: Subject, answers: Answers) -> str:
    """The calibration of imputed cells, where the model knows missing cells."""
    del answers
    if subject.vae.spec.missing == "none":
        return paragraph("The model takes complete rows only, so it imputes nothing.")
    if subject.vae.spec.self_masking is not None:
        return paragraph(
            "In this model cells are missing because of their values, so an observed cell that is "
            "hidden says something by being missing, and can't measure the imputation."
        )
    found = impute(
        subject.vae,
        subject.x,
        context=subject.contexts,
        num_imputations=0,
        num_particles=PARTICLES,
        seed=subject.seed,
        calibrate=True,
        progress=False,
    ).calibration
    if found is None or not found.hidden.sum():
        return paragraph("There are too few observed cells to hide some of them.")
    about = (
        "A tenth of the observed cells of these rows was hidden, and found again: "
        f"{found.reading}. Beside it are the errors of one multivariate normal, which EM fits to "
        "the columns of numbers, and of the column's mean or mode."
    )
    caption = "Imputation of hidden cells"
    return paragraph(about) + totals(caption, found.totals()) + _by_column(found)


def _by_column(found: Calibrated) -> str:
    lines = [
        [str(name), *(_shown(value) for value in cells)]
        for name, *cells in found.to_dataframe().itertuples()
    ]
    others = ("one normal", "mean or mode")
    head = ("column", "hidden", "error", *others, "50 %", "80 %", "90 %")
    return table("By column, with the coverage of central intervals", head, lines)


def _shown(value: float) -> str:
    """A count, or a number with two digits; nothing for one that isn't known."""
    if math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.2f}"

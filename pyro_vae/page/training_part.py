"""The training: the ELBO, the rate and the distortion over the epochs."""

import math
from collections.abc import Iterator, Mapping

from matplotlib.axes import Axes

from pyro_vae.figure_style import legend_above
from pyro_vae.page.html import figure, grid, paragraph
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Answers, Subject
from pyro_vae.training_curves import (
    History,
    elbo_curve,
    terms_curve,
)

HEIGHT = 3.3
DIFFERENT = 0.01
"""Nats between the loss and -ELBO above which they are two things."""


def training(subject: Subject, answers: Answers) -> str:
    """What the history says, with its curves."""
    del answers
    history = subject.history
    if not history:
        return paragraph(
            "The folder of the run has no history.csv, so there are no curves of its training."
        )
    best = _best_epoch(subject)
    seconds = sum(record.get("seconds", 0.0) for record in history)
    sentences = " ".join(filter(None, _sentences(subject, best, seconds)))
    return paragraph(sentences) + grid(
        [_elbo(history, best), _terms(history, best)], "wide"
    )


def _elbo(history: History, best: int | None) -> str:
    def draw(axes: Axes) -> None:
        legend_above(elbo_curve(axes, history, best_epoch=best), columns=2)

    alt = f"curve of the ELBO over {len(history)} epochs, last {history[-1]['elbo']:.2f} nats"
    picture = plot(draw, alt, width=WIDE, height=HEIGHT)
    return figure(picture, "ELBO in nats per row: higher is better.")


def _terms(history: History, best: int | None) -> str:
    def draw(axes: Axes) -> None:
        legend_above(terms_curve(axes, history, best_epoch=best), columns=2)

    last = history[-1]
    alt = (
        f"curves of rate and distortion over {len(history)} epochs; in the last one the rate is "
        f"{last['rate']:.2f} and the distortion {last['distortion']:.2f} nats per row"
    )
    picture = plot(draw, alt, width=WIDE, height=HEIGHT)
    caption = "ELBO = -(distortion + rate): what is lost, and what z carries."
    return figure(picture, caption)


def _best_epoch(subject: Subject) -> int | None:
    """The epoch whose weights are kept: the lowest loss of the validation rows."""
    losses = {
        int(record["epoch"]): record["val_loss"]
        for record in subject.history
        if math.isfinite(record.get("val_loss", math.nan))
    }
    return min(losses, key=lambda epoch: losses[epoch]) if losses else None


def _sentences(subject: Subject, best: int | None, seconds: float) -> Iterator[str]:
    history = subject.history
    yield f"{len(history)} epochs in {seconds:.0f} s."
    if best is None:
        yield "No rows chose an epoch: the weights are those of the last one."
        return
    record = next(one for one in history if one["epoch"] == best)
    yield f"The weights are those of epoch {best}, with the lowest loss on validation rows."
    yield _gap(record)
    yield _other_loss(record)
    if best == history[-1]["epoch"]:
        yield "It is the last epoch: longer training may bring more."


def _gap(record: Mapping[str, float]) -> str:
    """The ELBO of fitted and of validation rows."""
    gap = record["elbo"] - record["val_elbo"]
    which = "less" if gap > 0 else "more"
    return (
        f"There the ELBO is {record['elbo']:.2f} nats per row on fitted rows and "
        f"{record['val_elbo']:.2f} on validation rows, {abs(gap):.2f} {which}."
    )


def _other_loss(record: Mapping[str, float]) -> str:
    """A sentence where something else than the ELBO chose the epoch."""
    if abs(record["val_loss"] + record["val_elbo"]) <= DIFFERENT:
        return ""
    return (
        f"What was minimised is another loss than -ELBO, there {record['loss']:.2f} and "
        f"{record['val_loss']:.2f}; so another epoch may have the highest ELBO."
    )

"""The training: the ELBO, the rate and the distortion over the epochs."""

from collections.abc import Iterator, Mapping

from matplotlib.axes import Axes

from pyro_vae.durations import in_seconds
from pyro_vae.experiment.history import best_epoch
from pyro_vae.figure_style import legend_above
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, paragraph
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Subject
from pyro_vae.training import Run
from pyro_vae.training_curves import History, elbo_curve, terms_curve

HEIGHT = 3.3
DIFFERENT = 0.01
"""Nats between the loss and -ELBO above which they are two things."""


def training(subject: Subject, answers: Answers) -> str:
    """What the history says, with its curves."""
    del answers
    history = subject.history
    if not history:
        return paragraph(
            "The folder of the run has no history.csv that can be read, so there are no curves of "
            "its training."
        )
    best = best_epoch(history) if "val_loss" in history[0] else None
    sentences = " ".join(filter(None, _sentences(subject, best)))
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


def _sentences(subject: Subject, best: int | None) -> Iterator[str]:
    history = subject.history
    seconds = sum(record.get("seconds", 0.0) for record in history)
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    yield f"{epochs} in {in_seconds(seconds)}."
    if best is None:
        yield "No rows chose an epoch: the weights are those of the last one."
        return
    record = next(one for one in history if one["epoch"] == best)
    yield f"The weights are those of epoch {best}, with the lowest loss on validation rows."
    yield _gap(record)
    yield _other_loss(record)
    records = [dict(record) for record in history]
    run = Run(subject.vae, subject.experiment.fit, records, best)
    if run.still_improving:
        yield "It is the last epoch, and still improving: longer training may bring more."


def _gap(record: Mapping[str, float]) -> str:
    """The ELBO of the rows that were fitted and of validation rows."""
    return (
        f"In that epoch the ELBO was {record['elbo']:.2f} nats per row over the training batches, "
        f"while the weights still moved, and {record['val_elbo']:.2f} on validation rows after it."
    )


def _other_loss(record: Mapping[str, float]) -> str:
    """A sentence where something else than the ELBO chose the epoch."""
    if abs(record["val_loss"] + record["val_elbo"]) <= DIFFERENT:
        return ""
    return (
        f"What was minimised is another loss than -ELBO, there {record['loss']:.2f} and "
        f"{record['val_loss']:.2f}; so another epoch may have the highest ELBO."
    )

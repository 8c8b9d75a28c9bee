"""The page as a whole: its parts in order, each of which may fail without the others."""

import html
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyro_vae.atomic_files import written_whole
from pyro_vae.page.answers import Answers
from pyro_vae.page.columns_fit import column_fit
from pyro_vae.page.context_part import effects, labels, z_and_context
from pyro_vae.page.data_card import data
from pyro_vae.page.density import log_density
from pyro_vae.page.html import document, paragraph, section
from pyro_vae.page.imputed import imputation
from pyro_vae.page.latent_part import latent_space
from pyro_vae.page.odd_rows import odd_rows
from pyro_vae.page.overview import checks, model, verdict
from pyro_vae.page.samples import samples
from pyro_vae.page.settings import settings
from pyro_vae.page.style import STYLE
from pyro_vae.page.subject import Subject
from pyro_vae.page.training_part import training

Part = Callable[[Subject, Answers], str]
PARTS: dict[str, tuple[str, Part]] = {
    "verdict": ("Verdict", verdict),
    "model": ("Model", model),
    "data": ("Data", data),
    "training": ("Training", training),
    "density": ("log p(x)", log_density),
    "columns": ("Fit of each column", column_fit),
    "samples": ("Samples beside data", samples),
    "latent": ("Latent space", latent_space),
    "context": ("z and the context", z_and_context),
    "effects": ("Random effects", effects),
    "labels": ("Labels", labels),
    "rows": ("The least likely rows", odd_rows),
    "imputation": ("Imputation of missing cells", imputation),
    "checks": ("All checks", checks),
    "settings": ("Settings, versions and commands", settings),
}
"""The parts in the order of the page, by their anchors."""


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Attributes:
        file: where it is.
        size: in bytes.
        seconds: that it took, without the evaluation.
        evaluation_seconds: that the evaluation took.
        failed: the parts that could not be made, with the reason of each.
    """

    file: Path
    size: int
    seconds: float
    evaluation_seconds: float
    failed: dict[str, str]


def write_page(subject: Subject, file: Path, *, progress: bool | None = None) -> Page:
    """Write the report of a run as one HTML file, whole or not at all.

    A part that can't be made is a sentence with the reason, and costs no other part.

    Arguments:
        subject: what it is about.
        file: in a folder that exists; one of that name is replaced.
        progress: whether to show bars.

    Raises:
        ValueError: rows that the model can't evaluate.
    """
    began = time.perf_counter()
    answers = Answers(subject, progress)
    _ = answers.evaluation
    evaluated = time.perf_counter()
    failed: dict[str, str] = {}
    parts = {}
    for name, (title, part) in parts_of(subject).items():
        try:
            inside = part(subject, answers)
        except Exception as error:  # an unusual model or a column that can't be drawn
            failed[name] = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
            inside = paragraph(f"This part could not be made: {failed[name]}")
        parts[name] = section(name, _title(title, answers), inside)
    with written_whole(file) as draft:
        draft.write_text(_whole(subject, answers, parts), encoding="utf-8")
    ended = time.perf_counter()
    size = file.stat().st_size
    return Page(file, size, ended - evaluated, evaluated - began, failed)


def parts_of(subject: Subject) -> dict[str, tuple[str, Part]]:
    """The parts of a page: those about a context only where the model has one."""
    given = subject.given
    absent = {
        "context": given is None,
        "effects": given is None or not given.effects,
        "labels": given is None or given.label is None,
    }
    return {name: part for name, part in PARTS.items() if not absent.get(name)}


def _title(title: str, answers: Answers) -> str:
    """The title of a part; log p(x) is what it is for rows with contexts or labels."""
    return title.replace("log p(x)", answers.symbol)


def _whole(subject: Subject, answers: Answers, parts: dict[str, str]) -> str:
    """The head, the verdict, the contents, and the other parts."""
    first, *others = parts.values()
    title = f"Report of the run {subject.folder.resolve().name}"
    spec = subject.vae.spec
    lead = (
        f"A variational autoencoder with {spec.latent_dim} latent dimensions, and what it says of "
        f"{len(subject.rows)} rows"
    )
    if subject.given is not None:
        lead += " in their contexts"
    links = "".join(
        f'<li><a href="#{anchor}">{html.escape(_title(name, answers))}</a></li>'
        for anchor, (name, _) in list(parts_of(subject).items())[1:]
    )
    contents = f'<nav aria-label="parts of this page"><ul>{links}</ul></nav>'
    head = f"<header><h1>{html.escape(title)}</h1>{paragraph(lead, 'lead')}</header>"
    return document(
        title,
        STYLE,
        "".join([head, first, contents, *others]),
    )

"""A page as a reader of HTML sees it, and a small run to make one of."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pyro_vae as pv
from pyro_vae.experiment.description import Experiment
from pyro_vae.page.subject import Subject

VOID = {"meta", "br", "hr", "img", "input", "link"}
ODD = 'a < b & "c"'
"""A name of a column with all that HTML has to escape."""


@dataclass
class Page(HTMLParser):
    """What a page has: its headings, pictures, ids, links, elements and text."""

    text: str
    headings: list[tuple[int, str]] = field(default_factory=list)
    pictures: list[dict[str, str | None]] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append(tag)
        if tag not in VOID:
            self.stack.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
        if tag in ("svg", "img"):
            self.pictures.append({"tag": tag, **found})
        if tag == "caption":
            self.tables.append("")
        self.ids += [value or "" for name, value in attrs if name == "id"]
        links = [value or "" for name, value in attrs if name in ("href", "src")]
        self.links += links

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self.stack:
            return
        self.words.append(data)
        if self.stack and self.stack[-1] in ("h1", "h2", "h3", "h4"):
            level, title = self.headings[-1]
            self.headings[-1] = (level, title + data)
        if self.stack and self.stack[-1] == "caption":
            self.tables[-1] += data

    @property
    def whole(self) -> str:
        """The text of the page on one line, with plain spaces."""
        return " ".join("".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def mixed_table() -> pd.DataFrame:
    """60 rows: real numbers, counts and levels, with missing cells and an odd name."""
    random = np.random.default_rng(0)
    size = random.normal(size=60)
    table = pd.DataFrame(
        {
            ODD: 10 + size + 0.1 * random.normal(size=60),
            "mass": 3 * size + random.normal(size=60) * 0.5,
            "eggs": random.poisson(np.exp(1 + 0.3 * size)),
            "seen": pd.Timestamp("2020-01-05")
            + pd.to_timedelta(random.integers(0, 400, 60), unit="D"),
            "kind": np.where(size > 0, "<i>tall</i>", "small"),
        }
    )
    table.loc[random.random(60) < 0.15, "mass"] = np.nan
    return table


def small_spec(data: Path, **others: object) -> dict[str, object]:
    """A description of a model that is fitted in a moment."""
    return {
        "data": str(data),
        "latent_dim": 2,
        "hidden_dims": (8,),
        "fit": {"epochs": 3, "validation": 0.2},
        "evaluate": {"num_particles": 100},
        **others,
    }


def subject(
    vae: pv.VAE, rows: np.ndarray, fitted: np.ndarray | None = None, **others: Any
) -> Subject:
    """A model and rows without a folder, for single parts of a page."""
    bare: dict[str, Any] = dict(
        vae=vae,
        experiment=Experiment(),
        folder=Path("run"),
        recorded={},
        rows=rows,
        row_labels=[str(row) for row in range(len(rows))],
        classes=None,
        columns=None,
        table=None,
        fitted=fitted,
        history=(),
        about_rows=(),
        remarks=(),
        arguments=(),
    )
    return Subject(**{**bare, **others})

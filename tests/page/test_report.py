"""`pyro-vae report`: a page that is complete, can be read by everyone and needs nothing else."""

import argparse
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.analysis.report import checks
from pyro_vae.cli.report import subject_of
from pyro_vae.page import page as pages
from tests.cli.command import pyro_vae
from tests.page.reading import ODD, Page, mixed_table, small_spec

MEGABYTE = 1_000_000
TITLES = [
    "Verdict",
    "Model",
    "Data",
    "Training",
    "log p(x)",
    "Fit of each column",
    "Samples beside data",
    "Latent space",
    "The least likely rows",
    "Imputation of missing cells",
    "All checks",
    "Settings, versions and commands",
]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """A search for better guides that ends soon: its number is not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "GAP_STEPS", 4)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a mixed table with missing cells."""
    home = tmp_path_factory.mktemp("report")
    mixed_table().to_csv(home / "birds.csv", index=False)
    pv.run(small_spec(home / "birds.csv"), home / "run")
    done = pyro_vae("report", home / "run")
    assert (done.status, done.err) == (0, "")
    assert "could not" not in done.out
    return home / "run"


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def test_the_parts_are_in_order_below_headings_in_order(page: Page) -> None:
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    assert [title for level, title in page.headings if level == 2] == TITLES
    assert "could not be made" not in page.whole


def test_each_picture_says_what_it_shows(page: Page) -> None:
    labels = [picture.get("aria-label") or "" for picture in page.pictures]
    assert len(labels) >= 10
    assert all(len(label) > 15 for label in labels)
    assert len(set(labels)) == len(labels)
    assert {picture.get("role") for picture in page.pictures} == {"img"}
    assert len(page.tables) == page.elements.count("table")
    assert all(page.tables)


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert not re.search(r"https?://|//www|@import|url\((?!#)", page.text)
    assert not {"script", "link", "iframe", "object", "img"} & set(page.elements)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert len(page.text.encode()) < 3 * MEGABYTE
    assert not page.unbalanced
    assert not page.stack


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    inside = re.findall(r"url\(#([^)]*)\)", page.text)
    targets = {link[1:] for link in page.links if link.startswith("#")} | set(inside)
    assert targets <= set(page.ids)


def test_names_and_cells_of_the_data_are_escaped(page: Page) -> None:
    assert ODD in page.whole
    assert "<i>tall</i>" in page.whole
    assert "i" not in page.elements


def test_cells_are_in_the_units_of_the_table(page: Page) -> None:
    days = re.findall(r"<td[^>]*>(20\d\d-[^<]*)</td>", page.text)
    assert len(days) > 10
    day = r"20\d\d-\d\d-\d\d"
    assert all(re.fullmatch(f"{day}(?: to {day})?", cell) for cell in days)


def test_colours_of_the_page_follow_light_and_dark(page: Page) -> None:
    used = set(re.findall(r"var\((--\w+)\)", page.text))
    style = page.text[page.text.index("<style>") : page.text.index("</style>")]
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert used <= set(re.findall(r"(--\w+):", light))
    assert set(re.findall(r"(--\w+):", light)) == set(re.findall(r"(--\w+):", dark))
    pictures = page.text[page.text.index("<svg") :]
    assert not re.search(r"(?:fill|stroke): #(?:000000|ffffff)", pictures)


def test_the_numbers_are_those_of_evaluate(run: Path, page: Page) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    mean = f"{metrics['log_marginal']:.3f} ± {metrics['log_marginal_se']:.3f} nats"
    assert f"log p(x) = {mean}" in page.whole
    assert f"independent columns{metrics['independent']:.2f} ±" in page.whole
    assert "one normal and independent columns" in page.whole


def test_the_page_says_how_it_is_made_again(run: Path, page: Page) -> None:
    assert f"pyro-vae fit {run} --output {run}-again" in page.whole
    assert f"pyro-vae report {run} --rows 500 --output {run}/report.html" in page.whole
    assert pv.__version__ in page.whole


@pytest.mark.slow
def test_the_sentences_are_those_of_check_and_the_page_the_same_twice(
    run: Path, page: Page
) -> None:
    done = pyro_vae("check", run, "--rows", "500", "--json")
    for sentence in done.json["sentences"]:
        assert sentence.replace("`", "") in page.whole
    pyro_vae("report", run, "--output", run / "again.html")
    again = (run / "again.html").read_text(encoding="utf-8")
    assert again.replace("again.html", "report.html") == page.text


def test_a_run_without_its_records_has_a_page(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("spec.json", "model.safetensors"):
        shutil.copy(run / name, bare / name)
    few = ("--set", "evaluate.num_particles=20", "--rows", "2")
    done = pyro_vae("report", bare, *few, "--json")
    assert done.json["failed"] == {}
    found = Page((bare / "report.html").read_text(encoding="utf-8"))
    assert "has no history.csv" in found.whole
    assert "fewer than 21 draws have no k-hat" in found.whole
    assert [title for level, title in found.headings if level == 2] == TITLES


def test_an_autoencoder_has_a_page_and_other_rows_too(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 2, size=(40, 16)).astype(bool)
    np.save(tmp_path / "bits.npy", rows)
    spec = small_spec(tmp_path / "bits.npy", guide="delta", prior="flat")
    pv.run(spec, tmp_path / "run")
    output = tmp_path / "page.html"
    data = ("--data", tmp_path / "bits.npy", "--output", output)
    done = pyro_vae("report", tmp_path / "run", *data, "--json")
    assert done.json["failed"] == {}
    found = Page(output.read_text(encoding="utf-8"))
    assert "codes have no density" in found.whole
    source = f"The page is of all 40 rows of {tmp_path / 'bits.npy'}"
    assert f"{source}: 32 of 40 equal rows that the model was fitted to." in found.whole
    assert f"--data {tmp_path / 'bits.npy'} --rows 500" in found.whole


def test_a_part_that_fails_costs_no_other(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(subject: object, answers: object) -> str:
        raise RuntimeError("<no memory>")

    parts = {"settings": pages.PARTS["settings"], "broken": ("A part", broken)}
    monkeypatch.setattr(pages, "PARTS", parts)
    output = tmp_path / "page.html"
    done = pyro_vae("report", run, "--rows", "2", "--output", output)
    assert done.status == 0
    assert "'broken' could not be made: RuntimeError: <no memory>" in done.out
    found = Page(output.read_text(encoding="utf-8"))
    assert "could not be made: RuntimeError: <no memory>" in found.whole
    assert "Versions" in found.whole


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "page.txt"], "--output: expected a .html file, got page.txt"),
        (["--rows", "0"], "--rows: expected at least 1, got 0"),
        (["--set", "latent_dim=3"], "--set: expected evaluate.NAME=VALUE"),
        (["--set", "evaluate.rows=3"], "evaluate.rows is --rows for this command"),
        (["--output", "no_folder/page.html"], "make the folder first"),
    ],
)
def test_wrong_arguments(run: Path, words: list[str], message: str) -> None:
    done = pyro_vae("report", run, *words)
    assert done.status == 2
    assert message in done.err


def test_check_has_the_same_argument_for_the_number_of_rows(run: Path) -> None:
    done = pyro_vae("check", run, "--set", "evaluate.rows=3")
    assert done.status == 2
    assert "--set: evaluate.rows is --rows for this command; pass --rows" in done.err


def test_what_was_asked_for_stays_as_it_is(run: Path) -> None:
    settings = ["evaluate.seed=7"]
    asked = {"run": run, "data": None, "set": settings, "rows": 3, "output": run}
    found = subject_of(argparse.Namespace(**asked))
    assert settings == ["evaluate.seed=7"]
    assert (len(found.rows), found.seed) == (3, 7)
    assert found.arguments[1:3] == ["--rows", "3"]
    assert found.arguments[-2:] == ["--set", "evaluate.seed=7"]


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    done = pyro_vae("report", tmp_path / "none")
    assert done.status == 2
    assert "holds no saved model" in done.err

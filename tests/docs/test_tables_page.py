"""docs/tables.md: its program runs, and what doesn't depend on the training is as printed there."""

import re
from pathlib import Path
from typing import Any

import pytest

from pyro_vae.data.columns import NOT_MODELLED
from pyro_vae.data.table_files import FORMATS, TEXT
from pyro_vae.likelihoods import LIKELIHOODS
from tests.docs.pages import DOCS, blocks, program, run, small

PAGE = DOCS / "tables.md"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The names that the page leaves, and what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tables"))
        few = small(program(PAGE)).replace("num_particles=30", "num_particles=10")
        return run(few, "tables")


def test_what_is_read_is_printed_as_on_the_page(done: Any) -> None:
    summary, kinds, names, *_ = blocks(PAGE, "text")
    _, printed = done
    for text in (summary, kinds, names):
        assert text in printed


def test_answers_have_labels_and_names(done: Any) -> None:
    names, printed = done
    held_out = names["held_out"]
    for answer in (names["found"], names["once_more"]):
        assert answer.to_dataframe().index.tolist() == list(held_out.labels)
    assert (names["once_more"].log_marginal == names["found"].log_marginal).all()
    assert set(names["odd"].column_names) == set(held_out.names)
    assert names["new"].dtypes.equals(names["again"].dtypes)
    assert names["probabilities"]["size"].columns.tolist() == ["S", "M", "L"]
    assert printed.endswith("True\n")


def text_of(heading: str) -> str:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")
    return rest.partition("\n## ")[0]


def test_the_kinds_are_those_that_there_are() -> None:
    named = set(re.findall(r"^\|.*?\| `(\w+)`", text_of("Kinds of columns"), re.M))
    assert named <= {*LIKELIHOODS, *NOT_MODELLED}
    assert named >= {*NOT_MODELLED, "bernoulli", "ordinal", "log_normal"}


def test_every_format_is_in_the_table() -> None:
    shown = set(re.findall(r"`(\.\w+)`", text_of("Formats")))
    missing = {*TEXT, *FORMATS} - shown - {".amat", ".fit"}
    assert not missing


def test_the_page_writes_where_it_is_run(done: Any) -> None:
    assert not Path("birds.csv").exists()

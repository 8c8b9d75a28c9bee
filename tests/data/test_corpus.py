"""Real tables: those of R's packages, scikit-learn and statsmodels are read or refused in words."""

import warnings
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.corpus import ARCHIVED, PACKAGES, installed, refusals, tables
from pyro_vae.data.table_files import read_frame

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(installed, PACKAGES)), reason="needs pydataset and statsmodels"
    ),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> dict[str, list[Path]]:
    """The tables by package."""
    folder = tmp_path_factory.mktemp("corpus")
    return {package: tables(package, folder) for package in PACKAGES}


def read(path: Path) -> pd.DataFrame:
    """A table as a DataFrame."""
    return read_frame(path).frame


def test_nearly_all_tables_are_read(corpus):
    paths = [path for some in corpus.values() for path in some]
    assert len(paths) > 1000
    refused = refusals(paths, read)
    assert len(refused) < 0.05 * len(paths)
    raw = [refusal for refusal in refused if not refusal.is_sentence]
    assert not raw
    assert max(len(refusal.message) for refusal in refused) < 600


def test_tables_of_r_are_those_that_pandas_reads(corpus):
    """pandas knows that these files have commas, a header and row names."""
    refused = {refusal.path for refusal in refusals(corpus[ARCHIVED], read)}
    assert len(refused) < 0.02 * len(corpus[ARCHIVED])
    for path in corpus[ARCHIVED]:
        if path in refused:
            continue
        frame = read(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            expected = pd.read_csv(path)
        assert frame.shape == expected.shape, path
        assert frame.columns[0] == "column 0"
        for name, column in expected.iloc[:, 1:].items():
            if pd.api.types.is_numeric_dtype(column.dtype):
                pd.testing.assert_series_equal(frame[name], column, check_dtype=False)

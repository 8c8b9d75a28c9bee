"""Tables that pandas and NumPy write come back as they were, whatever their cells."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_vae.data.table_files import read_frame

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = st.text("abcxyzäß ,;|'\"_-", min_size=1, max_size=8).map(
    lambda text: f"w{text}w"
)
COLUMNS = {
    "real": st.floats(-1e6, 1e6, width=32).map(float),
    "tiny": st.floats(1e-300, 1e-3),
    "whole": st.integers(-(2**62), 2**62),
    "count": st.integers(0, 30),
    "flag": st.booleans(),
    "word": WORDS,
}


def read(content: bytes, name: str = "x.csv", **options) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read_frame(path, **options).frame


@st.composite
def frames(draw):
    """A table of 3 to 12 rows with columns of several kinds."""
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=2, max_size=6))
    rows = draw(st.integers(3, 12))
    return pd.DataFrame(
        {
            f"{kind} {i}": draw(st.lists(COLUMNS[kind], min_size=rows, max_size=rows))
            for i, kind in enumerate(kinds)
        }
    )


@FEW
@given(
    frames(),
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_a_table_with_a_header_comes_back(table, delimiter, encoding):
    content = table.to_csv(index=False, sep=delimiter).encode(encoding)
    pd.testing.assert_frame_equal(read(content), table)


@FEW
@given(frames())
def test_a_decimal_comma_changes_nothing(table):
    content = table.to_csv(index=False, sep=";", decimal=",").encode()
    pd.testing.assert_frame_equal(read(content), table)


@FEW
@given(frames())
def test_the_user_may_say_all(table):
    content = table.to_csv(index=False, header=False).encode()
    frame = read(content, delimiter=",", decimal=".", header=False)
    np.testing.assert_array_equal(frame.to_numpy(), table.to_numpy())


@FEW
@given(
    st.integers(1, 8).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 1), min_size=width, max_size=width),
            min_size=3,
            max_size=20,
        )
    )
)
def test_no_row_of_bits_is_lost(bits):
    """Two columns that begin with 0,1 may be named so; there the user is asked."""
    if bits[0] == [0, 1] and len(bits[0]) == 2:
        return
    text = io.StringIO()
    np.savetxt(text, bits, fmt="%d", delimiter=",")
    np.testing.assert_array_equal(read(text.getvalue().encode()).to_numpy(), bits)

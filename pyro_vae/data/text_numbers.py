"""Numbers as text: thousands in groups, percent signs, currencies, signs of other alphabets."""

import re

import pandas as pd

from pyro_vae.data.text_dialect import GROUPED, MISSING_AMONG_NUMBERS

BLANKS = " \t\x1a\xa0"
"""What may stand around a cell; DOS ends a file with the third one."""
MARKS = ("%", "$", "€", "£", "¥")
FORTRAN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[dD][+-]?\d+")
"""Double precision as Fortran writes it, 1.5D-10."""


def mark_of(sample: pd.Series) -> str | None:
    """The percent sign or currency that all cells have; None where there isn't one.

    Example:
        >>> mark_of(pd.Series(["5 %", "?", "7.5%"])), mark_of(pd.Series(["5", "7%"]))
        ('%', None)
    """
    present = sample[~sample.isin(MISSING_AMONG_NUMBERS)]
    for mark in MARKS:
        if len(present) and present.str.contains(mark, regex=False).all():
            return mark
    return None


def numbers_of(cells: pd.Series, decimal: str, mark: str | None = None) -> pd.Series:
    """The numbers among some cells, nan for the others.

    Arguments:
        cells: texts without blanks around them.
        decimal: the decimal mark.
        mark: a percent sign or a currency that each number has.

    Example:
        >>> numbers_of(pd.Series(["$1,000.50", "1.5", "−$3"]), ".", "$").tolist()
        [1000.5, nan, -3.0]
    """
    texts = cells.str.replace("\u2212", "-")
    if mark is not None:
        has_mark = texts.str.contains(mark, regex=False, na=False)
        texts = texts.str.replace(mark, "", n=1, regex=False).str.strip(BLANKS)
        texts = texts.where(has_mark, "")
    plain = texts
    if decimal == ",":
        plain = texts.str.replace(".", "x").str.replace(",", ".")
    numbers = pd.to_numeric(plain, errors="coerce")
    grouped = numbers.isna() & texts.str.fullmatch(GROUPED[decimal], na=False)
    if grouped.any():
        kept = texts[grouped].str.replace(rf"[^-+\d{decimal}]", "", regex=True)
        numbers = numbers.astype(float)
        numbers[grouped] = pd.to_numeric(kept.str.replace(decimal, "."))
    doubles = numbers.isna() & texts.str.fullmatch(FORTRAN, na=False)
    if doubles.any():
        numbers = numbers.astype(float)
        numbers[doubles] = pd.to_numeric(
            texts[doubles].str.replace("[dD]", "e", regex=True)
        )
    return numbers

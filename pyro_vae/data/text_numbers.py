"""Numbers as text: thousands in groups, percent signs, currencies, signs of other alphabets."""

import re

import pandas as pd

from pyro_vae.data.text_dialect import GROUPED, MISSING_AMONG_NUMBERS

BLANKS = " \t\x1a\xa0"
"""What may stand around a cell; DOS ends a file with the third one."""
MARKS = ("%", "$", "€", "£", "¥")
FORTRAN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[dD][+-]?\d+")
"""Double precision as Fortran writes it, 1.5D-10."""
SPACED = r"[+-]?\d{{1,3}}(?:([ '’\xa0\u202f])\d{{3}})(?:\1\d{{3}})*(?:{mark}\d*)?"
"""Groups of thousands between blanks or apostrophes."""


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
        has_mark = texts.str.contains(mark, regex=False).fillna(False)
        texts = texts.str.replace(mark, "", n=1, regex=False).str.strip(BLANKS)
        texts = texts.where(has_mark, "")
    plain = texts
    if decimal == ",":
        plain = texts.str.replace(".", "x").str.replace(",", ".")
    numbers = pd.to_numeric(plain, errors="coerce")
    separator = "," if decimal == "." else "."
    forms = {
        GROUPED[decimal]: separator,
        re.compile(SPACED.format(mark=re.escape(decimal))): "[ '’\xa0\u202f]",
    }
    for form, between in forms.items():
        grouped = numbers.isna() & texts.str.fullmatch(form).fillna(False)
        if grouped.any():
            digits = texts[grouped].str.replace(between, "", regex=len(between) > 1)
            numbers = numbers.astype(float)
            numbers[grouped] = pd.to_numeric(digits.str.replace(decimal, "."))
    doubles = numbers.isna() & texts.str.fullmatch(FORTRAN).fillna(False)
    if doubles.any():
        numbers = numbers.astype(float)
        numbers[doubles] = pd.to_numeric(
            texts[doubles].str.replace("[dD]", "e", regex=True)
        )
    return numbers

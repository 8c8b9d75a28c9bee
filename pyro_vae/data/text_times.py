"""Times as text: ISO 8601, days and months in a clear order, names of months."""

import re

import pandas as pd

from pyro_vae.data.text_numbers import BLANKS

DATE = r"\d{4}[-/]\d{1,2}(?:[-/]\d{1,2})?"
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
ZONE = r"(?:Z|[+-]\d{2}:?\d{2})"
ISO_TIME = re.compile(rf"{DATE}(?:[T ]{CLOCK} ?{ZONE}?)?")
DAY_AND_MONTH = re.compile(
    rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}})( {CLOCK})?"
)
NAMED_MONTH = re.compile(r"(\d{1,2}[- ])?[A-Za-z]{3,9}\.?[- ](\d{1,2},? )?\d{4}")
NAMED_FORMATS = (
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%b %Y", "%b-%Y"),
    *("%d %B %Y", "%d-%B-%Y", "%B %d, %Y", "%B %d %Y", "%B %Y"),
)


def as_times(
    column: pd.Series, sample: pd.Series
) -> tuple[pd.Series, str | None] | None:
    """A column of text as times, with a sentence on them; None for other text.

    Arguments:
        column: of text.
        sample: some of its cells, without blanks around them.
    """
    if sample.str.fullmatch(ISO_TIME).all():
        return _of_iso(column)
    if sample.str.fullmatch(NAMED_MONTH).all():
        return _of_named_months(column)
    if sample.str.fullmatch(DAY_AND_MONTH).all():
        return _of_days_and_months(column, sample)
    return None


def _of_iso(column: pd.Series) -> tuple[pd.Series, str | None]:
    """Times in ISO 8601: the year comes first; with zones they are in UTC."""
    has_zone = column.str.contains(rf"{CLOCK} ?{ZONE}$", regex=True).any()
    times = pd.to_datetime(
        column.str.strip(BLANKS), format="ISO8601", errors="coerce", utc=bool(has_zone)
    )
    wrong = times.isna() & column.notna()
    if wrong.any():
        return column, f"text, because {column[wrong].iloc[0]!r} is no time"
    return times, "times, in UTC" if has_zone else "times"


def _of_named_months(column: pd.Series) -> tuple[pd.Series, str | None] | None:
    """Times such as 1 Jan 2020, Jan 1, 2020 and January 2020."""
    cells = column.str.strip(BLANKS)
    for form in NAMED_FORMATS:
        times = pd.to_datetime(cells, format=form, errors="coerce")
        if (times.notna() == column.notna()).all():
            return times, "times"
    return None


def _of_days_and_months(
    column: pd.Series, sample: pd.Series
) -> tuple[pd.Series, str | None]:
    """Times such as 31.12.2020 and 12/31/2020, where some cell has a day above 12.

    Between points the day comes first.
    """
    parts = column.str.strip(BLANKS).str.extract(DAY_AND_MONTH)
    first, second = parts[0].astype(float), parts[2].astype(float)
    day_first = bool((first > 12).any()) or bool((sample.str.count(r"\.") > 1).all())
    month_first = bool((second > 12).any())
    is_long = bool((parts[3].str.len() == 4).any())
    mark = str(parts[1].iloc[0])
    if day_first == month_first or not is_long or (parts[1] != mark).any():
        return column, (
            f"text, because {sample.iloc[0]!r} does not say which number is the month; write "
            "times as YYYY-MM-DD to have them as times"
        )
    order = f"%d{mark}%m{mark}%Y" if day_first else f"%m{mark}%d{mark}%Y"
    clock = ""
    if parts[4].notna().any():
        clock = " %H:%M:%S" if (parts[4].str.count(":") == 2).any() else " %H:%M"
    times = pd.to_datetime(
        column.str.strip(BLANKS), format=order + clock, errors="coerce"
    )
    wrong = times.isna() & column.notna()
    if wrong.any():
        return column, f"text, because {column[wrong].iloc[0]!r} is no time"
    return times, f"times, the {'day' if day_first else 'month'} first"

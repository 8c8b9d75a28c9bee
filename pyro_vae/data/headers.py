"""Whether the first line of a table has the names of its columns."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from pyro_vae.data.stored import Fault
from pyro_vae.data.text_dialect import MISSING

Record = Sequence[str]
IsNumber = Callable[[str], bool]
REMEDY = "pass header=True if they are names, header=False if they are a row"


class Verdict(NamedTuple):
    """Whether the first line is a header, and why where that is worth a note."""

    is_header: bool
    why: str | None = None


def has_header(records: Sequence[Record], is_number: IsNumber) -> Verdict:
    """Whether the first record has names.

    - Text above numbers is a name, and so is text that doesn't occur below.
    - Numbers are names where they are 0, 1, 2, ..., where they grow from cell to cell and no row
      below does so, or where they are whole and all below have decimals; names differ.

    Arguments:
        records: the first records of a file, equally wide, without row names.
        is_number: whether a cell is a number.

    Raises:
        Fault: the first record may be either.

    Example:
        >>> digits = str.isdigit
        >>> has_header([["a", "b"], ["1", "2"]], digits).is_header
        True
        >>> has_header([["0", "1", "0"], ["1", "1", "0"]], digits).is_header
        False
    """
    first, below = records[0], records[1:]
    if not below:
        return Verdict(not any(map(is_number, first)))
    columns = list(zip(*below, strict=True))
    above_numbers = [
        i for i, column in enumerate(columns) if _are_numbers(column, is_number)
    ]
    texts = [i for i in above_numbers if not _fits_numbers(first[i], is_number)]
    if texts:
        return _names_and_numbers(first, below, texts, above_numbers, is_number)
    if not above_numbers:
        return _text_above_text(first, columns, is_number)
    if _is_blank_corner(first, below, is_number):
        return Verdict(True)
    if not all(map(is_number, first)):
        return _mixed(first, columns, above_numbers, is_number)
    return _numbers_above_numbers(first, below)


def no_header(width: int) -> str:
    """A sentence on the names of columns that have none in their file."""
    if width == 1:
        return "no header: the column is named 0"
    return f"no header: columns are named 0 to {width - 1}"


def _are_numbers(column: Sequence[str], is_number: IsNumber) -> bool:
    known = [cell for cell in column if cell not in MISSING]
    return bool(known) and sum(map(is_number, known)) > 0.8 * len(known)


def _fits_numbers(cell: str, is_number: IsNumber) -> bool:
    return is_number(cell) or cell in MISSING


def _names_and_numbers(
    first: Record,
    below: Sequence[Record],
    texts: Sequence[int],
    above_numbers: Sequence[int],
    is_number: IsNumber,
) -> Verdict:
    """Text stands above some of the columns of numbers."""
    numbers = [i for i in above_numbers if is_number(first[i])]
    if len(texts) >= len(numbers):
        return Verdict(True)
    picked = [[record[i] for i in numbers] for record in (first, *below)]
    if _numbers_are_names(picked[0], picked[1:]):
        return Verdict(True)
    raise Fault(
        f"expected names or numbers in the first line, got {first[texts[0]]!r} beside "
        f"{first[numbers[0]]!r}; {REMEDY}, in which {first[texts[0]]!r} is to be corrected"
    )


def _text_above_text(
    first: Record, columns: Sequence[Sequence[str]], is_number: IsNumber
) -> Verdict:
    """There is no column of numbers; levels occur again, names don't."""
    if any(is_number(cell) for cell in first) or len(set(first)) < len(first):
        return Verdict(False)
    again = [
        cell for cell, column in zip(first, columns, strict=True) if cell in column
    ]
    return Verdict(not again)


def _is_blank_corner(
    first: Record, below: Sequence[Record], is_number: IsNumber
) -> bool:
    """Whether the first cell is blank above labels of the rows, and the others are names."""
    names = first[1:]
    labels = [record[0] for record in below]
    rest = [record[1:] for record in below]
    if first[0] or not names or not all(names) or len(set(names)) < len(names):
        return False
    if not all(map(is_number, names)):
        return has_header([names, *rest], is_number).is_header
    if not all(labels) or len(set(labels)) < len(labels):
        return False
    if _is_range(labels, 0) or not any(map(is_number, labels)):
        return True
    if _numbers_are_names(names, rest) or _is_sequence(names):
        return True
    if _is_range(labels, 1):
        _ask(first)
    return False


def _mixed(
    first: Record,
    columns: Sequence[Sequence[str]],
    above_numbers: Sequence[int],
    is_number: IsNumber,
) -> Verdict:
    """Numbers or missing cells above numbers, and text above text."""
    others = [i for i in range(len(first)) if i not in above_numbers]
    is_again = any(first[i] in columns[i] or is_number(first[i]) for i in others)
    if is_again or any(first[i] in MISSING for i in above_numbers):
        return Verdict(False)
    names = [first[i] for i in above_numbers]
    below = list(zip(*(columns[i] for i in above_numbers), strict=True))
    if _is_sequence(names) and not _numbers_are_names(names, below):
        if len(names) < 3 or any(map(_is_sequence, below)):
            _ask(first)
        return _named_by_numbers(names)
    return _numbers_above_numbers(names, below)


def _numbers_above_numbers(first: Record, below: Sequence[Record]) -> Verdict:
    """All cells of the first record are numbers, and so are those below."""
    if _numbers_are_names(first, below):
        return _named_by_numbers(first)
    if _may_be_positions(first, below):
        _ask(first)
    return Verdict(False)


def _named_by_numbers(names: Record) -> Verdict:
    shown = ", ".join(names[:3])
    return Verdict(
        True, f"the numbers {shown}, ... in the first line are taken for names"
    )


def _ask(first: Record) -> NoReturn:
    shown = ", ".join(first[:4])
    raise Fault(
        f"expected names or a row in the first line, got {shown}, ..., which may be "
        f"either; {REMEDY}"
    )


def _numbers_are_names(first: Record, below: Sequence[Record]) -> bool:
    if len(set(first)) < len(first) or any(cell in MISSING for cell in first):
        return False
    from_zero = _is_range(first, 0)
    cells = [cell for record in below for cell in record if cell not in MISSING]
    whole_above_decimals = all(cell.isdigit() for cell in first) and not any(
        cell.lstrip("+-").isdigit() for cell in cells
    )
    if whole_above_decimals and len(cells) >= 10:
        exact = any(sum(map(str.isdigit, cell)) >= 12 for cell in cells)
        return len(first) > 2 or (from_zero and exact)
    if from_zero and len(first) > 3:
        return not any(_is_range(record, None) for record in below)
    return _only_first_grows(list(map(_value, first)), below)


def _only_first_grows(values: Sequence[float], below: Sequence[Record]) -> bool:
    """Whether numbers grow, or fall, along the first record and along no other."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    equal = len(steps) > 2 and max(steps) - min(steps) < 1e-6 * abs(steps[0])
    fewest = 4 if equal else 8
    direction = _direction(steps)
    if direction == 0 or len(values) < fewest:
        return False
    return not any(
        _direction([b - a for a, b in itertools.pairwise(map(_value, record))])
        == direction
        for record in below
        if not any(cell in MISSING for cell in record)
    )


def _may_be_positions(first: Record, below: Sequence[Record]) -> bool:
    """Whether two or three cells are 0, 1, (2,) or 1, 2, 3 above whole numbers of the same size."""
    ranges = [_is_range(record, None) for record in below]
    if len(first) == 2:
        return _is_range(first, 0) and not all(ranges)
    from_zero_or_one = _is_range(first, 0) or _is_range(first, 1)
    return len(first) == 3 and from_zero_or_one and not any(ranges)


def _is_range(record: Record, start: int | None) -> bool:
    """Whether cells are whole numbers that count up by one, from `start` if it is given."""
    if not all(cell.isdigit() for cell in record):
        return False
    begin = int(record[0]) if start is None else start
    return [int(cell) for cell in record] == list(range(begin, begin + len(record)))


def _is_sequence(record: Record) -> bool:
    """Whether numbers go from cell to cell in equal steps; two of them by one."""
    if any(cell in MISSING for cell in record):
        return False
    steps = [b - a for a, b in itertools.pairwise(map(_value, record))]
    if len(steps) < 2:
        return steps == [1.0]
    return _direction(steps) != 0 and max(steps) - min(steps) < 1e-6 * abs(steps[0])


def _value(cell: str) -> float:
    return float(cell.replace(",", "."))


def _direction(steps: Sequence[float]) -> int:
    """1 where all steps go up, -1 where all go down, 0 otherwise."""
    if steps and all(step > 0 for step in steps):
        return 1
    if steps and all(step < 0 for step in steps):
        return -1
    return 0

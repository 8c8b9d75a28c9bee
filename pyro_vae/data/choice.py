"""Which arrays of a source are its rows, and why."""

from collections.abc import Iterable
from typing import NamedTuple

from pyro_vae.data.stored import Contents, Fault, Stored

MOST = 8
"""Arrays that a message names."""

SPLITS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}
FORMS = ("{}", "x{}", "{}x", "{}data", "{}images")
SPLIT_NAMES = {
    form.format(word): split for word, split in SPLITS.items() for form in FORMS
}


class Choice(NamedTuple):
    """The array of each split, and a sentence on the choice where there was one."""

    names: dict[str, str]
    notes: tuple[str, ...] = ()


def choose_splits(contents: Contents, array: str | None) -> Choice:
    """The arrays that are named after splits, or else one array, which is all of `train`.

    Raises:
        Fault: two arrays for one split; no array, or none that can be chosen among several.
    """
    names: dict[str, str] = {}
    if array is None:
        names = _named_splits(contents.arrays)
    if "train" not in names:
        return choose(contents, array)
    left = _left_out(contents, names.values())
    if not left:
        return Choice(names)
    taken = ", ".join(f"{name} is {split}" for split, name in names.items())
    return Choice(names, (f"by their names {taken}; left out: {left}",))


def choose(contents: Contents, array: str | None) -> Choice:
    """The array to read: the one asked for, the format's own, or the only one with rows.

    Raises:
        Fault: as `choose_splits`.
    """
    arrays = contents.arrays
    if array is not None:
        if array not in arrays or not array:
            raise Fault(
                f"expected an array named {array!r}, got {_found(contents)}; pass one of these "
                "names or leave array= out"
            )
        return Choice({"train": array})
    if contents.main is not None:
        name, why = contents.main
        return Choice({"train": name}, _note(contents, name, why))
    tables = [name for name, stored in arrays.items() if _has_rows(stored)]
    names = tables or list(arrays)
    if len(names) != 1:
        remedy = "pass array= with one of these names" if names else "save one"
        raise Fault(
            f"expected one array of numbers of shape (n, ...), got {_found(contents)}; {remedy}"
        )
    why = "the only array of numbers of shape (n, ...)"
    return Choice({"train": names[0]}, _note(contents, names[0], why))


def _has_rows(stored: Stored) -> bool:
    return stored.holds_numbers and len(stored.shape) > 1


def _note(contents: Contents, name: str, why: str) -> tuple[str, ...]:
    """Which array is taken and why, where the source holds anything else."""
    left = _left_out(contents, [name])
    if not left:
        return ()
    taken = f"{name or 'unnamed'} {contents.arrays[name]}"
    return (f"rows are {taken}, {why}; left out: {left}",)


def _left_out(contents: Contents, taken: Iterable[str]) -> str:
    chosen = set(taken)
    others = [
        f"{name} {one}" for name, one in contents.arrays.items() if name not in chosen
    ]
    return _shortened([*others, *contents.left_out])


def _found(contents: Contents) -> str:
    named = [
        f"{name or 'unnamed'} {stored}" for name, stored in contents.arrays.items()
    ]
    found = _shortened(named) or "none"
    if contents.left_out:
        found += f" (can't be rows: {_shortened(contents.left_out)})"
    return found


def _shortened(items: Iterable[str]) -> str:
    items = list(items)
    more = f" and {len(items) - MOST} more" if len(items) > MOST else ""
    return ", ".join(items[:MOST]) + more


def _named_splits(names: Iterable[str]) -> dict[str, str]:
    """Each split that an array is named after, and the name of that array."""
    claims = [
        (SPLIT_NAMES.get(name.lower().replace("_", ""), ""), name) for name in names
    ]
    chosen = {split: name for split, name in claims if split}
    rivals = [name for split, name in claims if split and chosen[split] != name]
    if rivals:
        raise Fault(
            f"expected one array for each split, got {rivals} as well as {chosen}; pass array= to "
            "take one"
        )
    return chosen

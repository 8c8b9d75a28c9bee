"""The rows that a run was made of: found by their path, recognised by their fingerprint."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyro_vae.data import Schema, Splits
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.record import fingerprint
from pyro_vae.experiment.row_hashes import RowHashes
from pyro_vae.experiment.sources import read_source
from pyro_vae.saving import read_run
from pyro_vae.spec import Context


def read_own_rows(
    folder: Path,
    options: DataOptions,
    data_shape: tuple[int, ...],
    schema: Schema | None = None,
    context: Context | None = None,
) -> Splits:
    """The rows of a run, from the absolute path of its data or from the relative one.

    Arguments:
        folder: of the run.
        options: of its data.
        data_shape: of a row.
        schema: the columns of the model, where it knows those of a table.
        context: of the model, where it has one.

    Raises:
        ValueError: no file in either place, or none with the rows of the run: rows that are held
            out of others could be among those that were fitted.
    """
    recorded = read_run(folder)
    expected = recorded.get("fingerprint")
    others: dict[str, Splits] = {}
    errors: list[ValueError] = []
    for source in _sources(options, recorded):
        there = options.model_copy(update={"source": source})
        try:
            rows = read_source(
                there, data_shape, fitted=True, schema=schema, context=context
            )
        except ValueError as error:
            errors.append(error)
            continue
        if expected is None or fingerprint(rows) == expected:
            return rows
        others[source] = rows
    if errors:
        raise errors[0]
    if not others:
        raise ValueError(
            f"{options.source}: expected the data of {folder}, got no file there and none at "
            f"{recorded.get('source_path')}; pass --data with the path of a file"
        )
    assert expected is not None
    source, rows = next(iter(others.items()))
    raise ValueError(
        f"{source}: expected the rows that the run was fitted to ({_counts(expected)}), got "
        f"{_difference(folder, rows)}: rows that are held out today could be among those that were "
        f"fitted; pass --data {source} to evaluate all of them and count the fitted ones, or fit "
        "again"
    )


def about_changed_rows(folder: Path, rows: Splits) -> str:
    """A sentence where a run is fitted again to other rows than its own; "" otherwise."""
    expected = read_run(folder).get("fingerprint")
    if expected is None or fingerprint(rows) == expected:
        return ""
    return (
        f"{rows.name}: other rows than {folder} was fitted to: expected {_counts(expected)}, got "
        f"{_difference(folder, rows)}\n"
    )


def _sources(options: DataOptions, recorded: Mapping[str, Any]) -> Iterator[str]:
    """Where the data of a run may be."""
    absolute = recorded.get("source_path")
    if absolute is None:
        yield options.source
        return
    relative = recorded["data"]["source"]
    for source in dict.fromkeys((options.source, absolute, relative)):
        if os.path.exists(os.path.expanduser(source)):
            yield source


def _difference(folder: Path, rows: Splits) -> str:
    known = RowHashes.read(folder)
    if known is None:
        return f"others ({_counts(fingerprint(rows))})"
    return known.compared_with(rows)


def _counts(recorded: Mapping[str, Any]) -> str:
    counts = [f"{count} {name}" for name, count in recorded.items() if name != "sha256"]
    return f"{', '.join(counts)}, SHA-256 {recorded['sha256'][:8]}"

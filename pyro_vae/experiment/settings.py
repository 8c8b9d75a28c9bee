"""Changes to single fields of a description, as `--set` writes them."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

QUOTED = r'"(?:[^"\\]|\\.)*"'
SETTING = re.compile(rf'((?:{QUOTED}|[^"=])+)=(.*)', re.DOTALL)
"""The path of a field, and its value."""
NAME = re.compile(rf'{QUOTED}|[^".]+')
"""A name in a path: in double quotes, or without dots."""
BARE = re.compile(r"([=\[,]\s*)([A-Za-z_][\w.-]*)(?=\s*[,\]}])")
"""A name without quotes inside brackets, after what is before it."""


def override(fields: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`fields` with each setting `a.b=c`; c is read as TOML, or as a string where it isn't TOML.

    The name of a column may have dots, `columns.Sepal.Length=normal`; any name may have quotes.

    Example:
        >>> override({"latent_dim": 2, "fit": {"lr": 0.1}}, ["fit.epochs=3", "data=digits"])
        {'latent_dim': 2, 'fit': {'lr': 0.1, 'epochs': 3}, 'data': 'digits'}
    """
    changed = dict(fields)
    for setting in settings:
        *tables, last, text = _divided(setting)
        target = changed
        for name in tables:
            inner = target.get(name, {})
            if not isinstance(inner, str | Mapping):
                raise ValueError(
                    f"--set: expected a table at {name!r} in {setting!r}, got {inner!r}"
                )
            target[name] = _as_table(name, inner)
            target = target[name]
        target[last] = _value(text)
    return changed


def _divided(setting: str) -> list[str]:
    """The names of the tables and of the field, and the value.

    Example:
        >>> _divided("fit.epochs=3"), _divided("columns.Sepal.Length=normal")
        (['fit', 'epochs', '3'], ['columns', 'Sepal.Length', 'normal'])
        >>> _divided('columns."a = b".kind=normal')
        ['columns', 'a = b', 'kind', 'normal']
    """
    match = SETTING.fullmatch(setting)
    path, text = match.groups() if match else ("", "")
    names = NAME.findall(path)
    if path.startswith("columns.") and '"' not in path:
        names = path.split(".", 1)
    if ".".join(names) != path or not all(names) or not names:
        raise ValueError(f"--set: expected A.B=C, got {setting!r}")
    return [*(_unquoted(name) for name in names), text]


def _unquoted(name: str) -> str:
    """The name that a basic string of JSON or TOML holds."""
    if not name.startswith('"'):
        return name
    text: str = json.loads(name)
    return text


def _as_table(name: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a table; a name alone stands for the table with that source or kind."""
    if isinstance(value, str):
        return {"source" if name == "data" else "kind": value}
    return dict(value)


def _value(text: str) -> Any:
    """What the text is in TOML or JSON; a name without quotes is a string, also inside brackets.

    A shell takes quotes away: `--set prior={kind="mixture"}` arrives as `prior={kind=mixture}`.

    Raises:
        ValueError: brackets that hold neither.

    Example:
        >>> _value("[mass, eggs]"), _value("{kind=mixture}"), _value('{"a": null}'), _value("a b")
        (['mass', 'eggs'], {'kind': 'mixture'}, {'a': None}, 'a b')
    """
    quoted = BARE.sub(_quoted, text)
    for one in (text, quoted):
        try:
            return tomllib.loads(f"value = {one}")["value"]
        except tomllib.TOMLDecodeError:
            pass
    if text[:1] not in {"{", "["}:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise ValueError(
            f'--set: expected a value of TOML, such as {{kind = "mixture", components = 5}} or '
            f"[1, 2], got {text!r}; put single quotes around the whole setting, so that the shell "
            "leaves it as it is"
        ) from None


def _quoted(found: re.Match[str]) -> str:
    """A bare name as a string, but for the words of TOML."""
    before, name = found.groups()
    is_word = name in {"true", "false", "inf", "nan"}
    return found[0] if is_word else f"{before}{json.dumps(name)}"

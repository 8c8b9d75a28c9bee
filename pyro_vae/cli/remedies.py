"""Arguments of the library in its messages, as they are written on the command line."""

import ast
import json
import re
import shlex
from typing import Any

ARGUMENTS = {
    "leave delimiter= out": "leave data.delimiter out",
    "leave resume out": "leave --resume out",
    "make the model with missing='at_random'": "pass --set missing=at_random",
    "on_nonfinite='skip'": "--set fit.on_nonfinite=skip",
    "overwrite=True": "--overwrite",
    "pass context=": "pass --context NAME=VALUE",
    "pass array=": "pass --set data.array=",
    "resume=True": "--resume",
    "set data_shape=": "pass --set data_shape=",
    "wait longer: timeout=": "wait longer: --set fit.timeout=",
}
"""Whole phrases."""
LIST = re.compile(r"\b(drop|missing)=(\[[^\]]*\])")
TYPES = re.compile(r"\bdtypes=(\{[^}]*\})")
HEADER = re.compile(r"\bheader=(True|False)")
DECIMAL = re.compile(r"\bdecimal='([.,])'")
KIND = re.compile(r'\bcolumns=\{("(?:[^"\\]|\\.)*"): (".*?"|\{.*?\})\}')


def as_arguments(sentence: str) -> str:
    """A message of the library with the arguments of the command.

    Example:
        >>> print(as_arguments("leave it out: drop=['a b']"))
        leave it out: --set 'data.drop=["a b"]'
        >>> print(as_arguments('say its kind: columns={"a": "normal"}'))
        say its kind: --set 'columns."a"="normal"'
    """
    for python, command in ARGUMENTS.items():
        sentence = sentence.replace(python, command)
    sentence = LIST.sub(_list, sentence)
    sentence = TYPES.sub(_types, sentence)
    sentence = HEADER.sub(
        lambda found: f"--set data.header={found[1].lower()}", sentence
    )
    sentence = DECIMAL.sub(lambda found: f"--set data.decimal='{found[1]}'", sentence)
    return KIND.sub(_kind, sentence)


def _list(found: re.Match[str]) -> str:
    values = _literal(found[2])
    if values is None or Ellipsis in values:
        values = ["NAME"]
    return _setting(f"data.{found[1]}={json.dumps(values, ensure_ascii=False)}")


def _types(found: re.Match[str]) -> str:
    types = _literal(found[1])
    if types is None:
        return found[0]
    return _setting(f"data.dtypes={_table(types)}")


def _kind(found: re.Match[str]) -> str:
    kind = _literal(found[2])
    if isinstance(kind, dict):
        options = {name: _without_dots(value) for name, value in kind.items()}
        return _setting(f"columns.{found[1]}={_table(options)}")
    return _setting(f"columns.{found[1]}={found[2]}")


def _without_dots(value: Any) -> Any:
    """The levels that a message leaves open, as the names of two."""
    return ["FIRST", "SECOND"] if value == [Ellipsis] else value


def _table(values: dict[str, Any]) -> str:
    """An inline table of TOML."""
    pairs = [
        f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    ]
    return f"{{{', '.join(pairs)}}}"


def _literal(text: str) -> Any:
    """A literal of Python; None where the text isn't one."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


def _setting(text: str) -> str:
    return f"--set {shlex.quote(text)}"

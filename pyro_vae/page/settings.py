"""What makes the run and the page again: settings, seeds, versions and commands."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pyro_vae.experiment.description import DataOptions, EvaluateOptions
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import details, paragraph, preformatted, table
from pyro_vae.page.subject import Subject
from pyro_vae.spec import Spec
from pyro_vae.training import FitOptions
from pyro_vae.version import versions

DEFAULTS: Mapping[str, Any] = {
    "data": DataOptions(),
    "fit": FitOptions(),
    "evaluate": EvaluateOptions(),
}
LONGEST = 100_000
"""Characters of a description that is shown."""


def settings(subject: Subject, answers: Answers) -> str:
    """The commands, what differs from the defaults, and all of it."""
    del answers
    folder = str(subject.folder)
    lines = [f"pyro-vae report {shlex.join(subject.arguments)}"]
    if "data" in subject.recorded:
        again = shlex.quote(f"{folder}-again")
        lines.insert(0, f"pyro-vae fit {shlex.quote(folder)} --output {again}")
    made = "The first command fits the run again, the second makes this page again:"
    if len(lines) == 1:
        made = "The folder has no description of its data, so only the page can be made again:"
    return "".join(
        [
            paragraph(made),
            preformatted("\n".join(lines), "commands"),
            table(
                "Settings that are not the defaults",
                ("setting", "value"),
                _changed(subject),
            ),
            table(
                "Versions",
                ("library", "of the run", "of this page"),
                _versions(subject),
            ),
            _complete(subject),
        ]
    )


def _changed(subject: Subject) -> list[list[str]]:
    """The settings that differ from the defaults, and the seeds."""
    model = subject.vae.spec.model_dump(mode="json")
    plain = Spec(data_shape=subject.vae.spec.data_shape).model_dump(mode="json")
    lines = [
        [name, _shown(value)]
        for name, value in model.items()
        if name not in ("table", "seed") and value != plain.get(name)
    ]
    lines.append(["seed", _shown(model.get("seed"))])
    for table_name, defaults in DEFAULTS.items():
        usual = defaults.model_dump(mode="json")
        own = subject.recorded.get(table_name)
        if not isinstance(own, Mapping):
            continue
        lines += [
            [f"{table_name}.{name}", _shown(value)]
            for name, value in own.items()
            if name == "seed" or value != usual.get(name)
        ]
    return lines


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _versions(subject: Subject) -> list[list[str]]:
    then = subject.recorded.get("versions", {})
    now = versions()
    return [[name, str(then.get(name, "not recorded")), now[name]] for name in now]


def _complete(subject: Subject) -> str:
    """The whole description, folded; of a very wide table it stays in its file."""
    model = subject.vae.spec.model_dump(mode="json")
    whole = {"model": model, "run": dict(subject.recorded)}
    text = json.dumps(whole, indent=1, ensure_ascii=False, default=str)
    if len(text) > LONGEST:
        return paragraph("The complete description is in the spec.json of the run.")
    inside = preformatted(text, "the description as JSON")
    return details("The complete description of the run", inside)

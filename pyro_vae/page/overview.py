"""The verdict with its remedies, and the model in symbols."""

import re
from collections.abc import Iterator, Sequence

from pyro_vae.analysis.marginal_likelihood.measure import Measure
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import inline, listing, paragraph, preformatted
from pyro_vae.page.subject import Subject


def verdict(subject: Subject, answers: Answers) -> str:
    """Three sentences with the next step, and which checks have not passed."""
    found = _checkup(subject, answers)
    sentences = found.sentences or (found.reading,)
    box = listing(sentences, ordered=True)
    head = f'<div class="verdict {found.worst}">{box}</div>'
    return head + paragraph(_not_passed(found.findings), "soft")


def _not_passed(findings: Sequence[Finding]) -> str:
    weak = [one for one in findings if one.verdict in ("warn", "fail")]
    if not weak:
        return f"All {len(findings)} checks have passed or don't arise for this model."
    names = ", ".join(f"{one.name} ({one.verdict})" for one in weak)
    have = "has" if len(weak) == 1 else "have"
    return (
        f"{len(weak)} of {len(findings)} checks {have} not passed: {names}. {READING}"
    )


READING = (
    "Where one says fail, numbers that must agree do not; where it says warn, they agree, and show "
    "that the model or its guide is weak."
)


def checks(subject: Subject, answers: Answers) -> str:
    """A line for each check, with what to do where it hasn't passed."""
    return _checks(_checkup(subject, answers).findings)


def _checkup(subject: Subject, answers: Answers) -> Checkup:
    """The checks with the folder of the run in their commands."""
    can_refit = "data" in subject.recorded
    return answers.checkup.for_run(
        subject.folder, subject.data_arguments, refits=can_refit
    )


def _checks(findings: tuple[Finding, ...]) -> str:
    """A table of the checks, which a phone shows as a list."""
    head = ("check", "verdict", "found", "should be", "meaning")
    first = "".join(f"<th scope='col'>{name}</th>" for name in head)
    lines = "".join(_line(finding, head) for finding in findings)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="all checks">'
        f'<table class="checks"><caption>What was checked</caption><thead><tr>{first}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _line(finding: Finding, head: tuple[str, ...]) -> str:
    badge = f'<span class="badge {finding.verdict}">{finding.verdict}</span>'
    cells = [badge, inline(finding.value), inline(finding.limit)]
    parts = [
        f'<td data-head="{name}">{cell}</td>'
        for name, cell in zip(head[1:4], cells, strict=True)
    ]
    meaning = " ".join(inline(part) for part in _meaning(finding))
    name = inline(finding.name)
    return (
        f"<tr><th scope='row'>{name}</th>{''.join(parts)}"
        f'<td data-head="meaning">{meaning}</td></tr>'
    )


def _meaning(finding: Finding) -> Iterator[str]:
    """What it means and, where it is no pass, what to do."""
    yield f"{finding.meaning}."
    if finding.remedy:
        yield f"{finding.remedy[0].upper()}{finding.remedy[1:]}:"
        yield f"`{finding.first_step}`"


def model(subject: Subject, answers: Answers) -> str:
    """The model as it prints itself, and what its log p(x) is."""
    parts = [preformatted(str(subject.vae), "the model in symbols")]
    parts.append(paragraph(_symbols(subject)))
    _, found = answers.evaluation
    if found is not None and found.measure is not None:
        parts.append(
            paragraph(
                f"{found.symbol} is the logarithm of a {in_words(found.measure)}; columns are "
                "counted from 0."
            )
        )
    return "".join(parts)


def _symbols(subject: Subject) -> str:
    """What the symbols of the model are."""
    given = subject.given
    if given is None:
        return PLAIN
    label = f" {LABEL}" if given.label is not None else ""
    return GIVEN + label + (f" {EFFECTS}" if given.effects else "")


PLAIN = (
    "p(z) is the prior, p(x | z) the likelihood of a row x given its code z, and q(z | x) the "
    "guide, which approximates the posterior."
)
GIVEN = (
    "c is the context of a row x: it is given, and has no probability. z is the code of the row; "
    "the first line is the prior, the second the likelihood, and the third the guide, which "
    "approximates the posterior."
)
LABEL = (
    "The label y is the last number of c, and the only one with a probability, p(y)."
)
EFFECTS = "p(u) is the prior of random effects, vectors in the place of levels."


def in_words(measure: Measure) -> str:
    """What log p(x) is the logarithm of.

    Example:
        >>> in_words(Measure(density="0:3, 5", mass="4"))
        'density of columns 0 to 2, 5 and probability mass of column 4'
    """
    text = re.sub(r"\bmass\b", "probability mass", str(measure))
    text = re.sub(r"\bcolumns (\d+)\b(?!:|, \d)", r"column \1", text)
    return re.sub(r"(\d+):(\d+)", _run, text)


def _run(found: re.Match[str]) -> str:
    return f"{found[1]} to {int(found[2]) - 1}"

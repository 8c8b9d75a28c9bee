"""The steps of a finding as this user can take them."""

import re
from dataclasses import replace

from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.vae import VAE

ROWS_IN_CODE = re.compile(r"\bx((?:_train)?(?:\[.*\])?)(?=[,)])")
"""The rows `x` or `x_train` in a line of Python, maybe some of them."""
DRAWN = "pv.calibration(vae)"
PARTS = ("prior", "likelihood", "guide", "encoder", "decoder")


def given(python: str) -> str:
    """A line of Python with the contexts `c` of the rows `x`, and `c_train` of `x_train`.

    Example:
        >>> given("pv.annealed(vae, x[[3, 5]])")
        'pv.annealed(vae, x[[3, 5]], context=c[[3, 5]])'
    """
    return ROWS_IN_CODE.sub(r"x\1, context=c\1", python)


def possible(vae: VAE, finding: Finding) -> Finding:
    """The finding with steps that the user can take.

    Rows in an array have their contexts beside them; parts that are modules of the user have no
    description.
    """
    context = vae.spec.context
    if context is not None:
        name = "c" if context.table is None else "x"
        meaning = finding.meaning.replace(DRAWN, f"{DRAWN[:-1]}, context={name})")
        finding = replace(finding, meaning=meaning)
    if context is not None and context.table is None:
        finding = replace(finding, python=given(finding.python))
    kinds = {getattr(getattr(vae.spec, name), "kind", "") for name in PARTS}
    if "custom" not in kinds:
        return finding
    python = "" if "from_spec" in finding.python else finding.python
    command = "" if finding.command.startswith("pyro-vae fit") else finding.command
    return replace(finding, python=python, command=command)

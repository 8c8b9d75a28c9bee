"""Public names that are imported when they are first used, listed once, in a stub.

A stub `__init__.pyi` beside a package's `__init__.py` says where its names are, as type checkers
and editors read it: `from pyro_vae.training import fit as fit`. The same lines are read here at run
time. The package lazy_loader does this too, for relative imports only; those can't be resolved by
editors in a checkout, where `analysis/` and `guides/` are not inside of `pyro_vae/`.
"""

import ast
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

Lazy = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def lazy_names(package: str, file: str) -> Lazy:
    """The functions `__getattr__` and `__dir__` of a package and its `__all__`, from its stub.

    Arguments:
        package: `__name__` of the package.
        file: `__file__` of the package; the stub has the same name with the suffix ".pyi".

    Example:
        >>> import pyro_vae
        >>> find, names, everything = lazy_names("pyro_vae", pyro_vae.__file__)
        >>> find("Spec").__module__, "Spec" in names(), "Spec" in everything
        ('pyro_vae.spec.description', True, True)
    """
    module_of = _modules(f"{os.path.splitext(file)[0]}.pyi")
    names = sorted(module_of)

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if module_of[name] == package:
            value: Any = importlib.import_module(f"{package}.{name}")
        else:
            value = getattr(importlib.import_module(module_of[name]), name)
        # from now on the name is found without this function
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__, lambda: list(names), names


def _modules(stub: str) -> dict[str, str]:
    """Name -> the module that a stub imports it from."""
    with open(stub, encoding="utf-8") as lines:
        tree = ast.parse(lines.read())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}

"""Rules that a machine can check: rooms, folders, sizes, public names, imports without effects."""

import ast
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.work_tree import git

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
BESIDE: dict[str, str] = WHEEL["sources"]  # folder at the top: where it is installed
PACKAGE = ("pyro_vae", *BESIDE)
FACE = ("pyro_vae", "pyro_vae.__main__")  # the two files outside the rooms

# Left to right; a room imports from rooms to its left. Rooms of one level may import each other,
# except the families.
LEVELS = (
    (
        "arguments",
        "described",
        "durations",
        "explain",
        "hooks",
        "kind_options",
        "registry",
        "rng",
        "threads",
        "version",
        "lazy_names",
        "figure_style",
        "progress_bar",
        "training_curves",
        "long_tails",
        "special",
        "atomic_files",
        "checksums",
        "termination",
        "distributed",
        "row_distributions",
        "data",
        "networks",
        "compiler",
    ),
    ("priors", "likelihoods", "guides"),
    ("spec", "program", "effects", "labels", "model_and_guide", "vae"),
    (
        "contexts",
        "learned_columns",
        "inputs",
        "given",
        "objectives",
        "saved_files",
        "saving",
    ),
    ("training", "analysis"),  # siblings
    ("experiment",),
    ("page", "plotting"),
    ("cli", "sklearn"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FAMILIES = LEVELS[1]
SIBLINGS = (FAMILIES, ("training", "analysis"))


def files(folder: str) -> list[Path]:
    """Every Python file below a folder of the repository."""
    return sorted((ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """`pyro_vae/vae.py` -> `pyro_vae.vae`, `guides/__init__.py` -> `pyro_vae.guides`."""
    folder, *inside = path.relative_to(ROOT).with_suffix("").parts
    parts = Path(BESIDE.get(folder, folder), *inside).parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """`pyro_vae.guides.base` -> `guides`."""
    return module.split(".")[1]


MODULES = {module_name(path): path for folder in PACKAGE for path in files(folder)}
PACKAGES = [name for name, path in MODULES.items() if path.name == "__init__.py"]


def imported(node: ast.stmt, package: str) -> Iterator[str]:
    """The dotted names that one statement inside `package` imports: `a.b` for `from a import b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: 1 - node.level or None] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{source}.{alias.name}" for alias in node.names)


def imports(path: Path) -> Iterator[str]:
    """What a file imports, anywhere in it."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt):
            yield from imported(node, package)


def ours(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports."""
    for name in imports(path):
        if name.split(".")[0] != "pyro_vae":
            continue
        while name not in MODULES:
            name = name.rpartition(".")[0]
        yield name


def objection(module: str, target: str) -> str | None:
    """Why `module` may not import `target`, or None."""
    if target in FACE:
        return "import the module that holds the name, not the face"
    here, there = room(module), room(target)
    if here == there:
        return None
    for siblings in SIBLINGS:
        if here in siblings and there in siblings:
            return f"{', '.join(siblings)} do not import each other"
    return None if LEVEL[there] <= LEVEL[here] else f"{there} is to the right of {here}"


def python(code: str, cwd: Path | None = None) -> str:
    """The output of a program in a fresh interpreter, which finds this checkout first."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Rooms


def test_every_module_is_in_a_known_room():
    assert {room(module) for module in MODULES if module not in FACE} == set(LEVEL)


def test_rooms_import_from_their_left():
    wrong = [
        f"{module} imports {target}: {why}"
        for module, path in MODULES.items()
        if module not in FACE
        for target in sorted(set(ours(path)))
        if (why := objection(module, target))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_order_itself_is_checked():
    assert objection("pyro_vae.guides.base", "pyro_vae.vae")
    assert objection("pyro_vae.guides.base", "pyro_vae.priors.base")
    assert objection("pyro_vae.vae", "pyro_vae")
    assert objection("pyro_vae.analysis.fitted", "pyro_vae.training.loop")
    assert not objection("pyro_vae.cli", "pyro_vae.analysis.figures.plots")
    assert not objection("pyro_vae.networks", "pyro_vae.registry")


@pytest.mark.parametrize(
    "folder", [*PACKAGE, "benchmarks", "examples", "findings", "tests"]
)
def test_nothing_imports_a_bare_folder(folder):
    banned = {*BESIDE} if folder == "tests" else {*BESIDE, "benchmarks", "tests"}
    wrong = [
        (str(path), name)
        for path in files(folder)
        for name in imports(path)
        if name.split(".")[0] in banned and not own_file(path, name)
    ]
    assert not wrong


def own_file(path: Path, name: str) -> bool:
    """Whether a benchmark that is a folder imports one of its own files."""
    package = module_name(path.parent / "__init__.py")
    return package.startswith("benchmarks.") and f"{name}.".startswith(f"{package}.")


# Folders


def test_a_module_is_the_file_that_git_knows():
    found = {name: importlib.util.find_spec(name) for name in MODULES}
    assert {name: spec and spec.origin for name, spec in found.items()} == {
        name: str(path) for name, path in MODULES.items()
    }


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_symbolic_links():
    tracked = git("ls-files", "--stage", cwd=ROOT).splitlines()
    links = [line for line in tracked if line.startswith("120000")]
    assert not links, "git on Windows writes a text file for a link"


def test_every_folder_is_a_package():
    bare = [
        path for path in MODULES.values() if not (path.parent / "__init__.py").exists()
    ]
    assert not bare


def test_the_folders_beside_the_package_are_where_the_tools_look():
    tools = PYPROJECT["tool"]
    assert set(tools["hatch"]["build"]["only-include"]) == set(PACKAGE)
    packages = {
        "pyro_vae",
        *(installed.replace("/", ".") for installed in BESIDE.values()),
    }
    assert set(tools["mypy"]["packages"]) == packages
    assert set(PACKAGE) < set(tools["pytest"]["ini_options"]["testpaths"])


def test_links_for_mypy_lead_to_the_folders(tmp_path):
    for name in (
        ".ci/links.py",
        "pyproject.toml",
        "pyro_vae/__init__.py",
        *(f"{folder}/__init__.py" for folder in BESIDE),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for _ in range(2):
        subprocess.run([sys.executable, ".ci/links.py"], cwd=tmp_path, check=True)
    for source, target in BESIDE.items():
        link = tmp_path / ".links" / target / "__init__.py"
        assert link.samefile(tmp_path / source / "__init__.py")


# Sizes


LONGEST_LINE = 100
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PRAGMA = re.compile(r"\s*# (noqa|type:).*")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    """Every function of a file, also those inside classes and functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def count_statements(function: Function) -> int:
    """Statements at any depth of a body, without its docstring.

    A function or a class that is defined inside counts as one statement.
    """
    has_docstring = ast.get_docstring(function, clean=False) is not None
    waiting: list[ast.AST] = list(function.body[has_docstring:])
    count = 0
    while waiting:
        node = waiting.pop()
        count += isinstance(node, ast.stmt)
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return count


def test_statements_are_counted_at_any_depth():
    module = ast.parse(
        "def f():\n"
        "    'A docstring.'\n"
        "    for x in []:\n"
        "        if x:\n"
        "            return x\n"
        "    def g():\n"
        "        return 1\n"
        "    return g\n"
    )
    assert count_statements(module.body[0]) == 5


def test_files_stay_under_300_lines():
    paths = [
        path
        for folder in (*PACKAGE, "benchmarks", "examples")
        for path in files(folder)
    ]
    sizes = {
        str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths
    }
    assert not {path: size for path, size in sizes.items() if size >= 300}


def test_bodies_stay_under_30_statements():
    long = [
        f"{path}:{function.lineno} {function.name}: {count_statements(function)}"
        for folder in (*PACKAGE, "benchmarks", "examples")
        for path in files(folder)
        for function in functions(path)
        if count_statements(function) >= 30
    ]
    assert not long, "\n".join(long)


def test_most_bodies_of_a_room_are_short():
    sizes: dict[str, list[int]] = {}
    for module, path in MODULES.items():
        # Rooms of one file are too small for a quantile, and are taken together.
        is_folder = module not in FACE and f"pyro_vae.{room(module)}" in PACKAGES
        where = room(module) if is_folder else "rooms of one file"
        sizes.setdefault(where, []).extend(map(count_statements, functions(path)))
    for where, counts in sizes.items():
        middle, many = np.quantile(counts, [0.5, 0.9])
        assert middle <= 5, where
        assert many <= 18, where


def code_lines(path: Path) -> Iterator[str]:
    """The lines of a Python file, or of the Python blocks in a page, without comments for tools."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = "\n".join(PYTHON_BLOCK.findall(text))
    for line in text.splitlines():
        yield PRAGMA.sub("", line)


def test_lines_have_at_most_100_characters():
    folders = (*PACKAGE, ".ci", "benchmarks", "examples", "findings", "tests")
    paths = [path for folder in folders for path in files(folder)]
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    long = [
        f"{path}: {line}"
        for path in (*paths, *pages)
        for line in code_lines(path)
        if len(line) > LONGEST_LINE
    ]
    assert not long, "\n".join(long)


# The public names


def test_the_face_is_what_is_importable():  # ruff keeps it sorted
    python(
        "import pyro_vae as pv\n"
        "names = list(pv.__all__)\n"
        "assert len(names) == len(set(names)), names\n"
        "assert set(names) <= set(dir(pv)), set(names) - set(dir(pv))\n"
        "for name in names: getattr(pv, name)\n"
        "from pyro_vae import *\n"
        "mine = {k for k, v in vars(pv).items() if getattr(v, '__module__', "
        "'').startswith('pyro_vae')}\nextra = {k for k in mine if not k.startswith('_')} - "
        "set(names)\nassert not extra, extra\n"
    )


def public_functions(package: str) -> set[str]:
    """The functions that a package exports."""
    module = importlib.import_module(package)
    exported = getattr(module, "__all__", ())
    return {name for name in exported if inspect.isroutine(getattr(module, name))}


def test_no_module_has_the_name_of_a_function_that_its_package_exports():
    hidden = [
        f"{package}.{name}"
        for package in PACKAGES
        for name in public_functions(package)
        if f"{package}.{name}" in MODULES
    ]
    assert not hidden, "importing such a module replaces the function by the module"


def test_no_folder_has_the_name_of_a_public_function():
    folders = {path.parent.name for path in MODULES.values()}
    assert not folders & (
        public_functions("pyro_vae") | public_functions("pyro_vae.analysis")
    )


def test_a_wrong_name_is_an_attribute_error():
    python("import pyro_vae as pv\nassert not hasattr(pv, 'no_such_name')")


def test_the_package_and_the_project_have_one_version():
    assert python("import pyro_vae; print(pyro_vae.__version__)").split() == [
        PYPROJECT["project"]["version"]
    ]


# Doctests


@pytest.mark.slow
def test_every_doctest_is_collected_once_and_through_the_package():
    options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *PACKAGE]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    found = [line.split("::") for line in listed.splitlines() if "::" in line]
    names = [name for _, name in found]
    assert len(names) == len(set(names))
    assert all(
        f"{name}.".startswith(f"{module_name(ROOT / path)}.") for path, name in found
    )
    written = {
        path for path in MODULES.values() if ">>> " in path.read_text(encoding="utf-8")
    }
    assert {ROOT / path for path, _ in found} == written


# Imports


HELP = """import runpy; sys.argv[1:] = ["--help"]
try: runpy.run_module("pyro_vae", run_name="__main__")
except SystemExit as end: assert not end.code, end"""

LIGHT = {
    "import pyro_vae": ("arviz", "matplotlib", "pyro", "torch"),
    HELP: ("arviz", "matplotlib", "pyro", "torch"),
    "import pyro_vae.analysis.bridge.arviz_objects": ("pyro", "torch"),
    "import pyro_vae.analysis.marginal_likelihood.pareto": ("pyro", "torch"),
    "import pyro_vae.analysis.figures.plots": ("pyro", "torch"),
}


@pytest.mark.parametrize(
    "statement", LIGHT, ids=lambda s: "--help" if s == HELP else s.split()[-1]
)
def test_light_imports_stay_light(statement, tmp_path):
    loaded = f"print('\\nloaded', *({set(LIGHT[statement])} & set(sys.modules)))"
    assert python(f"import sys\n{statement}\n{loaded}", tmp_path).splitlines()[
        -1
    ].split() == ["loaded"]


@pytest.mark.parametrize("name", ["binary_files", "files", "stored", "table_files"])
def test_reading_files_needs_no_torch_at_the_top(name):
    path = MODULES[f"pyro_vae.data.{name}"]
    top = ast.parse(path.read_text(encoding="utf-8")).body
    names = [name for node in top for name in imported(node, "pyro_vae.data")]
    assert not {"pyro", "torch"} & {name.split(".")[0] for name in names}


WATCH = """
import importlib, logging, os, random, sys
import numpy as np, pyro, torch
from torch.distributions.distribution import Distribution

validation = {validation}
pyro.enable_validation(validation)
Distribution.set_default_validate_args(validation)
torch.manual_seed(7), np.random.seed(7), random.seed(7)

def state():
    return {{
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state()),
        "random's generator": random.getstate(),
        "Pyro's settings": pyro.settings.get(),
        "torch's validation": Distribution._validate_args,
        "torch's default dtype": torch.get_default_dtype(),
        "torch's threads": torch.get_num_threads(),
        "torch's grad mode": torch.is_grad_enabled(),
        "Pyro's parameter store": list(pyro.get_param_store().keys()),
        "the root logger": (logging.root.level, list(logging.root.handlers)),
    }}

before = state()
for name in {modules}:
    importlib.import_module(name)
    after = state()
    changed = [what for what in before if before[what] != after[what]]
    assert not changed, f"import {{name}} changes {{changed}}"
"""


@pytest.mark.parametrize(
    "validation", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_imports_change_nothing(validation):
    python(
        WATCH.format(
            validation=validation,
            modules=[name for name in MODULES if not name.endswith("__main__")],
        )
    )

import ast
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_command

PACKAGE = ROOT / "keras_gw_resnet"
COMMON = ("errors", "files", "backend", "inputs", "hdf5", "archives", "owners", "progress", "hub")
# A room may import from itself, from what is common, and from the rooms named here.
MAY_IMPORT = {
    **{name: set() for name in COMMON},
    "models": set(),
    "strain": set(),
    "simulation": {"strain"},
    "datasets": {"strain", "simulation"},
    "cards": {"models", "strain"},
    "portable": {"models"},
    "zoo": {"cards", "portable", "models"},
    "search": {"models", "strain", "simulation", "datasets", "zoo"},
    "evaluation": {"models", "strain", "simulation", "datasets", "search"},
    "training": {"models", "strain", "simulation", "datasets", "zoo", "search", "evaluation"},
    "export": {"models"},
    "demo": {"strain", "training"},
    "zoo_training": {"models", "zoo", "training", "demo"},
    "card_page": set(),
    "zoo_comparison": {"evaluation", "training", "card_page"},
    "publishing": {"models", "zoo", "card_page"},
}
MAY_IMPORT["commands"] = set(MAY_IMPORT) - {"cards", "portable", "demo"}
MAY_IMPORT["cli"] = {"commands", "demo"}
# Files of more than 300 lines, and why.
LONG = {
    "keras_gw_resnet/search/scan.py": "one class, the scanner: its parts share what it holds",
    "keras_gw_resnet/search/detector.py": "the Python interface: its docstrings are the documentation",
    "keras_gw_resnet/search/lean.py": "the whole network in NumPy: one class whose steps share its weights",
    "tests/search/test_follow.py": "one network and its strain for every mishap of files, folder and process",
    "tests/fuzz.py": "a table of readers, a few lines each",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


PUBLIC = "the package itself"


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def imports_for_hints(path):
    """What is imported below `if TYPE_CHECKING` alone, which no run does."""
    blocks = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
    inside = [node for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for node in block.body]
    return {alias.name for node in inside if isinstance(node, ast.Import) for alias in node.names}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    where = str(path.relative_to(PACKAGE))
    for name in imports_of(path):
        top = name.split(".")[0]
        said = f"{where} imports {name}"
        if top in ("pycbc", "lal", "lalsimulation"):
            assert room == "simulation", f"{said}: only the room simulation may, so that nothing else needs PyCBC"
        if top == "tensorflow":
            allowed = ("datasets/tf_adapter.py", "training/distribution.py", "search/gradients.py")
            assert where in allowed, f"{said}: only {' and '.join(allowed)} may, so that the rest runs on JAX"
        if room == "models":
            known = (
                top in ("keras", "keras_gw_resnet") or top in sys.stdlib_module_names or name in imports_for_hints(path)
            )
            assert known, f"{said}: the room models takes Keras and the standard library alone"
        if room in MAY_IMPORT and top == "keras_gw_resnet":
            target = name.split(".")[1] if "." in name else PUBLIC
            below = MAY_IMPORT[room] | {room, *COMMON} | ({PUBLIC} if room in ("demo", "cli") else set())
            assert target in below, f"{said}: imports run downwards, from {room} to {', '.join(sorted(below))} alone"


def test_the_map_has_every_room_above_what_imports_it():
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| `")]
    row_of = {
        name.strip("/").removesuffix(".py"): number
        for number, line in enumerate(rows)
        for name in re.findall(r"`([\w./]+)`", line.split("|")[1])
    }
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__", "__main__"}
    assert rooms == set(MAY_IMPORT) == set(row_of) - {"benchmarks"}
    wrong = [(room, below) for room, own in MAY_IMPORT.items() for below in own if row_of[below] > row_of[room]]
    assert not wrong, f"the map of CONTRIBUTING.md has {wrong[0][1]} below {wrong[0][0]}, which imports it"


def test_files_are_short_or_say_why_not():
    files = [path for folder in ("keras_gw_resnet", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    long = {str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > 300}
    assert not long - set(LONG), (
        f"{min(long - set(LONG))} has more than 300 lines: split it, or give the reason in LONG"
    )
    assert all((ROOT / path).is_file() for path in LONG)


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parent.name == "commands" and p.name != "arguments.py"], ids=lambda p: p.name
)
def test_commands_parse_call_and_print(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 150, (
        f"commands/{path.name} has {lines} lines, 150 at most: what it computes belongs to another room, "
        "its arguments to a file of their own (as search_arguments.py)"
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_have_type_hints(path):
    lacking = [
        f"{path.relative_to(PACKAGE)}: {name}: {what}"
        for name, function in public_functions(ast.parse(path.read_text()).body)
        for what in hints_lacking(function)
    ]
    assert not lacking, "; ".join(lacking)


SPECIAL = ("__init__", "__call__", "__getitem__", "__len__")


def public_functions(body, prefix=""):
    """Functions and methods by name, but for those that a base of the package has, whose hints are theirs."""
    methods = {name: found for node in body for name, found in methods_imported(node)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            above = set().union(*(methods.get(ast.unparse(base), ()) for base in node.bases)) - {"__init__"}
            methods[node.name] = above | methods_of(node)
            if not node.name.startswith("_"):
                yield from public_functions(
                    [n for n in node.body if getattr(n, "name", None) not in above], f"{node.name}."
                )
        if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name in SPECIAL):
            yield prefix + node.name, node


def methods_of(node):
    return {own.name for own in node.body if isinstance(own, ast.FunctionDef)}


def methods_imported(node):
    """Yield (name, its methods) of the classes that an import of the package gives."""
    if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_gw_resnet."):
        names, path = {alias.name for alias in node.names}, ROOT / f"{node.module.replace('.', '/')}.py"
        for own in ast.parse(path.read_text()).body if path.exists() else ():
            if isinstance(own, ast.ClassDef) and own.name in names:
                yield own.name, methods_of(own)


def hints_lacking(function):
    """Say which parameters have no type hint, and whether what is returned has; options handed on as **options need none."""
    own = function.args
    for parameter in [*own.posonlyargs, *own.args, *own.kwonlyargs, *filter(None, [own.vararg])]:
        if parameter.annotation is None and parameter.arg not in ("self", "cls"):
            yield f"the parameter {parameter.arg} has no type hint"
    if function.returns is None:
        yield "what it returns has no type hint"


def test_import_is_light():
    code = (
        "import time, sys, json; t = time.perf_counter(); import keras_gw_resnet; "
        "print(json.dumps([time.perf_counter() - t, sorted(sys.modules)]))"
    )
    seconds, modules = json.loads(run_command("-c", code).stdout)
    assert seconds < 1
    assert not {"tensorflow", "keras", "pycbc", "lal", "matplotlib", "jax"} & set(modules)


def test_public_names_are_there():
    import keras_gw_resnet

    for name in keras_gw_resnet.__all__:
        assert getattr(keras_gw_resnet, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keras_gw_resnet.nothing


def test_nothing_of_this_machine_is_tracked():
    docs = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb", ".py")]
    for path in [*MODULES, *docs, *Path(ROOT / "tests").rglob("*.py"), ROOT / "README.md", ROOT / "Makefile"]:
        assert str(ROOT.parent) + "/" not in path.read_text(), path


def test_the_package_needs_what_make_installs_but_for_the_tools_of_the_tests():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed, tools = project["dependencies"], project["optional-dependencies"]["test"]
    assert sorted(needed + tools) == sorted((ROOT / "requirements.txt").read_text().split())
    assert not [name for name in needed if name.startswith(("pytest", "hypothesis", "ruff", "ty>"))]


def test_what_contributing_names_is_there():
    said = (ROOT / "CONTRIBUTING.md").read_text()
    files = [
        str(path.relative_to(ROOT))
        for folder in ("keras_gw_resnet", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    names = set(re.findall(r"`([\w/]+\.py)`", said))
    assert len(names) > 30
    assert not [name for name in names if not any(f"/{path}".endswith(f"/{name}") for path in files)]
    code = "\n".join((ROOT / path).read_text() for path in files)
    named = {name for whole in re.findall(r"`@?(\w+(?:\.\w+)*)`", said) for name in whole.split(".")}
    assert not [
        name for name in named if not re.search(rf"\b{name}\b", code) and not (ROOT / "keras_gw_resnet" / name).exists()
    ]


def test_files_that_are_no_code_ship_with_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    homes = {name: ROOT / name.replace(".", "/") for name in patterns}
    homes["keras_gw_resnet.saved_models"] = ROOT / "saved_models"
    shipped = {path for name, own in patterns.items() for pattern in own for path in homes[name].glob(pattern)}
    there = {path for home in (PACKAGE, ROOT / "saved_models") for path in home.rglob("*") if path.is_file()}
    there = {path for path in there if path.suffix not in (".py", ".pyc")}
    assert there == {path for path in shipped if path.is_file()}
    assert ROOT / "saved_models" / "resnet18-w16" / "model.keras" in shipped


def test_an_installed_package_has_the_networks_inside(tmp_path):
    """The layout of a wheel, from an empty folder; the environment variable prevails."""
    site, empty, other = tmp_path / "site", tmp_path / "empty", tmp_path / "other"
    shutil.copytree(PACKAGE, site / "keras_gw_resnet", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "keras_gw_resnet" / "saved_models").symlink_to(ROOT / "saved_models")
    for folder in (empty, other):
        folder.mkdir()
    code = (
        "from keras_gw_resnet.models import weights\n"
        "print(weights.saved_models_folder(), len(weights.list_saved()), weights.find_model_file('flagship').is_file())"
    )
    env = {"PYTHONPATH": str(site)}
    home, number, found = run_command("-c", code, cwd=empty, env=env).stdout.split()
    assert home == str(site / "keras_gw_resnet" / "saved_models")
    assert int(number) == len([path for path in (ROOT / "saved_models").iterdir() if path.is_dir()])
    assert found == "True"
    env["KERAS_GW_RESNET_SAVED_MODELS"] = str(other)
    refused = run_command("-c", code, cwd=empty, env=env)
    assert refused.returncode == 1
    assert "no saved network there" in refused.stderr


def test_the_documented_family_passes_the_tests_of_the_zoo(monkeypatch):
    """The example of docs/new-family.md, registered as it says, against what has to hold for every network."""
    from keras_gw_resnet.models import registry
    from tests.models import test_every_model as zoo

    scope = {}
    exec(next(code for code in python_in("docs/new-family.md") if "def PlainNet" in code), scope)
    monkeypatch.setitem(registry.MODELS, "plainnet", (scope["PlainNet"], scope["PlainNet"]))
    zoo.test_output_is_finite_and_every_weight_learns("plainnet", (1024, 3))
    zoo.test_shared_options("plainnet")
    zoo.test_shortest_input_named_in_the_error_works("plainnet")
    zoo.test_any_length_where_the_head_allows("plainnet")
    (bad,) = [mark for mark in zoo.test_bad_options_are_refused.pytestmark if mark.args[0] == ("options", "mentioned")]
    for options, mentioned in bad.args[1]:
        zoo.test_bad_options_are_refused("plainnet", options, mentioned)


def test_the_documented_stack_runs():
    scope = {}
    exec(next(code for code in python_in("docs/architectures.md") if "StackedNetwork" in code), scope)
    assert scope["network"].output_shape == (None, 1)


def python_in(document):
    return [part.split("```")[0] for part in (ROOT / document).read_text().split("```python")[1:]]

import ast
import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_command

PACKAGE = ROOT / "keras_gw_resnet"
# A room may import from itself and from the rooms named here.
MAY_IMPORT = {
    "models": set(),
    "strain": set(),
    "simulation": {"strain"},
    "datasets": {"strain", "simulation"},
    "training": {"models", "strain", "simulation", "datasets", "search", "evaluation"},
    "search": {"models", "strain", "simulation", "datasets", "zoo"},
    "evaluation": {"models", "strain", "simulation", "datasets", "search"},
}
COMMON = {"errors", "files", "backend", "progress"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    room = path.relative_to(PACKAGE).parts[0]
    where = str(path.relative_to(PACKAGE))
    for name in imports_of(path):
        top = name.split(".")[0]
        if top in ("pycbc", "lal", "lalsimulation"):
            assert room == "simulation", f"{where} imports {name}"
        if top == "tensorflow":
            assert where in ("datasets/tf_adapter.py", "training/distribution.py"), f"{where} imports {name}"
        if room == "models":
            assert top in ("keras", "keras_gw_resnet") or top in STANDARD, f"{where} imports {name}"
        if room in MAY_IMPORT and top == "keras_gw_resnet":
            target = name.split(".")[1] if "." in name else ""
            assert target in MAY_IMPORT[room] | {room} | COMMON, f"{where} imports {name}"


STANDARD = {
    "difflib",
    "fnmatch",
    "functools",
    "hashlib",
    "inspect",
    "json",
    "math",
    "numbers",
    "operator",
    "os",
    "pathlib",
    "re",
    "dataclasses",
    "warnings",
}


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
    for path in [*MODULES, *Path(ROOT / "tests").rglob("*.py"), ROOT / "README.md", ROOT / "Makefile"]:
        assert str(ROOT.parent) + "/" not in path.read_text(), path


def test_the_documented_family_passes_the_tests_of_the_zoo(monkeypatch):
    """The README's example, registered as it says, against what has to hold for every network."""
    from keras_gw_resnet.models import registry
    from tests.models import test_every_model as zoo

    scope = {}
    exec(next(code for code in python_in("README.md") if "def PlainNet" in code), scope)
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

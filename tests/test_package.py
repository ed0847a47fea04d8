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
    "training": {"models", "strain", "simulation", "datasets"},
    "search": {"models", "strain", "simulation", "datasets"},
    "evaluation": {"models", "strain", "simulation", "datasets", "search"},
}
COMMON = {"errors", "files", "backend"}
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
    "os",
    "pathlib",
    "re",
    "dataclasses",
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


def test_the_documented_way_to_add_a_family_runs():
    scope = {}
    exec(next(code for code in python_in("README.md") if "def PlainNet" in code), scope)
    model = scope["PlainNet"](width=4, input_shape=(1024, 3))
    assert model.input_shape == (None, 1024, 3)
    assert model.get_layer("crop_edges")
    exec(next(code for code in python_in("docs/architectures.md") if "StackedNetwork" in code), scope)
    assert scope["network"].output_shape == (None, 1)


def python_in(document):
    return [part.split("```")[0] for part in (ROOT / document).read_text().split("```python")[1:]]

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
# A room may import from itself and from the rooms named here.
MAY_IMPORT = {
    "models": set(),
    "strain": set(),
    "simulation": {"strain"},
    "datasets": {"strain", "simulation"},
    "training": {"models", "strain", "simulation", "datasets", "search", "evaluation", "zoo"},
    "search": {"models", "strain", "simulation", "datasets", "zoo"},
    "evaluation": {"models", "strain", "simulation", "datasets", "search"},
}
COMMON = {"errors", "files", "backend", "inputs", "hdf5", "archives", "owners", "progress"}
MODULES = sorted(PACKAGE.rglob("*.py"))


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
    room = path.relative_to(PACKAGE).parts[0]
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
            target = name.split(".")[1] if "." in name else ""
            below = MAY_IMPORT[room] | {room} | COMMON
            assert target in below, f"{said}: imports run downwards, from {room} to {', '.join(sorted(below))} alone"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "nodes.py"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_graphs_are_walked_in_one_file(path):
    private = [name for name in names_in(path) if name in PRIVATE]
    assert not private, (
        f"{path.relative_to(PACKAGE)} uses {private[0]}: Keras's private attributes are for models/nodes.py alone; "
        "ask the network's parts (graph.parts_of), or put a function there whose name says what it gives"
    )


# Read graphs by their nodes: parts, blocks, detectors, costs.
READ_GRAPHS = ("nodes.py", "graph.py", "graph_blocks.py", "origins.py", "info.py")


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name not in READ_GRAPHS], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_graphs_are_read_in_the_room_of_networks(path):
    used = [name for name in names_in(path) if name in ("input_tensors", "output_tensors")]
    assert not used, (
        f"{path.relative_to(PACKAGE)} uses {used[0]}: nodes of Keras graphs are read in models/ alone, by "
        f"{', '.join(READ_GRAPHS)}; put a function there whose name says what it gives"
    )


PRIVATE = {"_keras_history", "_inbound_nodes", "_outbound_nodes", "_nodes", "_nodes_by_depth", "_operations", "_layers"}


def names_in(path):
    """Yield the attributes that a file uses: `node._name`, and getattr(node, "_name") or hasattr, those of its own classes left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "getattr",
            "hasattr",
            "attrgetter",
        ):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))


# What labels a block and a stage in tables and pictures; nothing is worked out from it.
LABELS = {"graph_blocks.py": "join.name.rsplit('_', 1)", "drawing.py": r"re.match('(?:stage|group)\\d+', layer.name)"}


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "front.py"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_no_layer_is_found_by_a_part_of_its_name(path):
    text = path.read_text()
    if not re.search(r"\.layers\b|get_layer\(|blocks_of\(", text):
        return  # nothing here looks at layers
    found = [ast.unparse(node) for node in ast.walk(ast.parse(text)) if takes_a_name_apart(node)]
    found = [own for own in found if own != LABELS.get(path.name)]
    assert not found, (
        f"{path.relative_to(PACKAGE)}: {found[0]!r} looks for layers by a part of their names; only models/front.py does, for its own: "
        "ask the network's parts, or models/graph_blocks.py for its blocks"
    )


# Texts in files that look at layers, too, which are no names of layers.
OTHER_TEXTS = ("path.name", "path.stem", "module", "type(model).__module__", "type(layer).__module__", "metric", "np")
PARTS_OF_TEXT = ("startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit", "partition", "rpartition")
PARTS_OF_TEXT += ("find", "rfind")
MATCHES = ("match", "search", "fullmatch", "findall", "finditer", "fnmatch", "fnmatchcase")


def takes_a_name_apart(node):
    """Say whether an expression compares a part of a text, or looks something up by a name that it puts together."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return puts_together(node.left) or (isinstance(node.left, ast.Constant) and is_name(node.comparators[0]))
    if isinstance(node, ast.Subscript):
        return puts_together(node.slice) or (isinstance(node.slice, ast.Slice) and is_name(node.value))
    if not isinstance(node, ast.Call):
        return False
    *owner, called = ast.unparse(node.func).rsplit(".", 1)
    if called in PARTS_OF_TEXT:
        return bool(owner) and owner[0] not in OTHER_TEXTS
    if called in MATCHES:
        return not any(ast.unparse(argument) in OTHER_TEXTS for argument in node.args)
    return called in ("get", "get_layer") and any(
        puts_together(each) for each in [*node.args, *(k.value for k in node.keywords)]
    )


def puts_together(node):
    """Say whether this is a text put together of others: f"", "" + "", "" % (), "".format() or "".join()."""
    if isinstance(node, ast.BinOp):
        return any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in ast.walk(node))
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr
    return isinstance(node, ast.JoinedStr) or called in ("format", "join")


def is_name(node):
    """Say whether this is `name`, `layer.name` or `layer["name"]`."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "name"
    return ast.unparse(node).split(".")[-1] == "name" and ast.unparse(node) not in OTHER_TEXTS


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('l.name[:4] == "snr_"', True),
        ('layer["name"].startswith("snr_")', True),
        ('[n for n, l in own.items() if n.startswith("snr_")]', True),
        ('model.get_layer("snr_" + str(i))', True),
        ('model.get_layer("snr_%d" % i)', True),
        ('model.get_layer(name="snr_{}".format(i))', True),
        ('own["_".join(("snr", number))]', True),
        ('l.name.find("snr_") == 0', True),
        ('fnmatch.fnmatch(l.name, "snr_*")', True),
        ("PATTERN.match(n)", True),
        ('f"snr_{i}" in own', True),
        ('"snr" in layer["name"]', True),
        ('l.name == "snr"', False),
        ("own[SNR_LAYER]", False),
        ("model.get_layer(names[number - 1])", False),
        ('path.name.endswith(".keras")', False),
        ("model.input_shape[1:]", False),
    ],
)
def test_parts_of_names_are_told(code, told):
    assert any(map(takes_a_name_apart, ast.walk(ast.parse(code)))) == told


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "graph.py"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_heads_are_cut_off_by_one_function(path):
    asked = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    found = [call for call in asked if re.match(r"\w+\.get_layer\(.*head_layer", call)]
    assert not found, f"{path.relative_to(PACKAGE)}: {found[0]} looks up the head itself; models/graph.head_of gives it"


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

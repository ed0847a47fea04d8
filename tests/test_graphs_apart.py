"""Graphs of Keras are read in few files, and layers are not found by parts of their names."""

import ast
import re

import pytest

from tests.test_package import MODULES, PACKAGE


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

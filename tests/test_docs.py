"""What README and docs say works: their Python runs, their commands are ones that the parsers take, their links lead somewhere."""

import argparse
import importlib
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

from keras_gw_resnet.cli import build_parser
from keras_gw_resnet.commands.train_arguments import list_recipes, parse_training
from keras_gw_resnet.commands.train_parser import training_parser
from keras_gw_resnet.training.names import place_of
from tests.conftest import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    name: [(kind, textwrap.dedent(code)) for _, kind, code in BLOCK.findall(text)] for name, text in PAGES.items()
}
# Options of other programs that the pages name.
OTHERS = {
    "--no-deps",
    "--cpus-per-task",
    "--signal",
    "--requeue",
    "--nodes",
    "--ntasks-per-node",
    "--gpus-per-task",
    "--time",
    "--help",
}

# What the pages do with other programs than ours.
OTHER_COMMANDS = {"python3 -m venv venv", "source venv/bin/activate", "pip install PROJECT", "mkdir -p arriving"}

# Pages whose Python takes minutes: a network is trained and calibrated there.
SLOW = ("docs/saved-networks.md",)


def pages_with(*kinds):
    return [name for name, blocks in BLOCKS.items() if any(kind in kinds for kind, _ in blocks)]


def test_every_block_says_its_language():
    known = {"python", "sh", "yaml", "text"}
    assert not [f"{name}: {code[:40]}" for name, blocks in BLOCKS.items() for kind, code in blocks if kind not in known]


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    text = re.sub(BLOCK, "", (ROOT / page).read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith("https://"):
            assert (ROOT / page).parent.joinpath(link.split("#")[0]).exists(), link


def test_every_page_is_in_the_navigation_of_the_site():
    in_navigation = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(in_navigation)
    assert len(set(in_navigation)) == len(in_navigation)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with the saved networks and the configuration of an earlier training."""
    (tmp_path / "runs" / "second").mkdir(parents=True)
    (tmp_path / "runs" / "second" / "config.json").write_text('{"model": "resnet18", "data": "data/train"}')
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(desk, small_data, gw150914_files):
    """What the pages' Python takes: small stand-ins, but for the strain of GW150914 and the saved networks."""
    for path in gw150914_files:
        shutil.copy(path, desk / path.name)
    (desk / "data").mkdir()
    (desk / "data" / "test").symlink_to(small_data)


@pytest.fixture
def quick_calibration(small_bank, monkeypatch):
    """A network is made searchable with fewer signals than else."""
    from keras_gw_resnet.search import adoption

    monkeypatch.setattr(adoption, "make_bank", lambda *args, **options: small_bank)
    for name in ("calibrate_timing", "calibrate_statistic"):
        whole = getattr(adoption, name)
        monkeypatch.setattr(adoption, name, lambda *given, whole=whole: whole(*given, signals=32))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in pages_with("python")],
)
def test_the_python_of_a_page_runs(page, data, quick_calibration):
    """Block after block, in one namespace; the arrays that a user would bring are there."""
    rng = np.random.default_rng(0)
    scope = {"whitened_strain": rng.normal(size=(4, 3072, 2)).astype("float32"), "labels": rng.integers(0, 2, (4, 1))}
    for kind, code in BLOCKS[page]:
        if kind == "python":
            exec(compile(code, page, "exec"), scope)
    assert page != "docs/networks.md" or scope["network"].output_shape == (None, 1)
    assert page != "docs/saved-networks.md" or scope["scores"].max() > 50


@pytest.mark.parametrize("page", pages_with("sh"))
def test_the_commands_of_a_page_are_taken_by_the_parsers(page, desk, monkeypatch):
    commands = [words for kind, code in BLOCKS[page] if kind == "sh" for words in commands_in(code)]
    assert commands
    for words in commands:
        parse(words, monkeypatch)


def commands_in(code):
    """Split a shell block into commands of words, without comments."""
    for line in code.replace("\\\n", " ").splitlines():
        words = [word for word in shlex.split(line, comments=True) if word != "&"]
        if words:
            yield words


class ParsedError(Exception):
    """Ends a program when its arguments have been parsed."""


def parse(words, monkeypatch):
    """Parse a command as the program that it names does."""
    if words[0] == "srun":
        words = [word for word in words[1:] if not word.startswith("--cpus-per-task")]
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets), words
    elif rest[:1] == ["-c"]:
        compile(rest[1], "a page", "exec")
    elif program in ("python", ".venv/bin/python") and rest[0] == "-m":
        module = importlib.import_module(rest[1])
        whole = argparse.ArgumentParser.parse_args

        def parse_and_stop(self, *given):
            whole(self, *given)
            raise ParsedError

        with monkeypatch.context() as patch, pytest.raises(ParsedError):
            patch.setattr(sys, "argv", rest[1:])
            patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
            module.main()
    elif program in ("python", ".venv/bin/python"):
        assert (ROOT / rest[0]).is_file(), words
        parse_own([Path(rest[0]).stem, *rest[1:]])
    elif program == "keras-gw-resnet":
        parse_own(rest)
    else:
        assert " ".join(words) in OTHER_COMMANDS or program.endswith("pre-commit"), words


def parse_own(argv):
    try:
        parse_training(argv[1:]) if argv[0] == "train" else build_parser().parse_args(argv)
    except SystemExit as end:
        assert end.code == 0 and "--print_config" in argv, argv


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_the_configurations_of_a_page_are_taken(page, desk):
    for kind, code in BLOCKS[page]:
        if kind == "yaml":
            Path("mine.yaml").write_text(code)
            config, _ = parse_training(["--config", "mine.yaml", "--data", "data/train", "--out", "runs/mine"])
            assert config.epochs == yaml.safe_load(code)["epochs"]


def test_every_option_that_a_page_names_is_there():
    known = OTHERS | options_of(training_parser(list_recipes(), {})) | options_of(build_parser())
    known |= {"--sets", "--hours", "--turns", "--before", "--parts", "--pycbc"}  # of benchmarks
    said = {
        (page, option) for page, text in PAGES.items() for option in re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", text)
    }
    said = {(page, option) for page, option in said if option == option.lower()}  # others stand for a name
    for page, option in said:
        place = place_of(option[2:].replace("-", "_"))[0].removeprefix("network.")
        assert {option, f"--{place}"} & known or place.startswith("options."), f"{page} names {option}"


def options_of(parser):
    """Collect the options of a parser and of its commands."""
    found = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*(options_of(one) for one in action.choices.values()))
    return found

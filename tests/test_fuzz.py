"""Damaged and hostile files for every reader, each in a process of its own; see tests/fuzz.py."""

import pytest

from tests.conftest import run_command
from tests.fuzz import READERS

# So that each process does a share of the work.
GROUPS = [list(READERS)[first::2] for first in range(2)]


@pytest.mark.parametrize("readers", GROUPS, ids=["one half", "other half"])
def test_readers_refuse_or_read_damaged_files(readers):
    result = run_command("-m", "tests.fuzz", 15, *readers)
    assert result.returncode == 0, result.stderr[-5000:]
    assert len(result.stdout.splitlines()) == len(readers)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_readers_refuse_or_read_many_damaged_files(reader):
    result = run_command("-m", "tests.fuzz", 500, reader, timeout=1800)
    assert result.returncode == 0, result.stderr[-5000:]


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["network", "checkpoint"])
def test_networks_are_refused_or_loaded(reader):
    result = run_command("-m", "tests.fuzz", 60, reader, timeout=1800)
    assert result.returncode == 0, result.stderr[-5000:]

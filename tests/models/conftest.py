"""Fixtures of networks with a ranking statistic."""

import keras
import pytest

from tests.models.ranked import network_and_ranked


@pytest.fixture(scope="module")
def seeded():
    keras.utils.set_random_seed(5)


@pytest.fixture(scope="module")
def both(seeded):
    return network_and_ranked()

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.datasets.hard import PIECE, SHOWN, HardNoise
from keras_gw_resnet.datasets.negatives import KINDS, TABLE, HardNegative, Negatives
from keras_gw_resnet.strain.conditioning import Whitening


class Numbered:
    """Noise of which every window is one random number, and which says what it handed out."""

    def __init__(self):
        self.drawn = []

    def draw(self, rng, number):
        numbers = rng.random((number, 1, 1)).astype(np.float32)
        self.drawn.append(numbers[:, 0, 0])
        return numbers, np.zeros((number, 1), int)


def score(strain):
    return strain[:, 0, 0]


def shown(hard, index, number=4000):
    if not hard.ready(index):
        return None
    return set(hard.draw(np.random.default_rng(0), number, index)[:, 0, 0].tolist())


@settings(deadline=None, max_examples=25)
@given(windows=st.integers(1, 3 * PIECE), seed=st.integers(0, 2**32 - 1))
def test_the_hardest_hundredth_is_kept(windows, seed):
    noise = Numbered()
    hard = HardNoise(noise, seed=seed, windows=windows, steps_per_epoch=10)
    done = []
    hard.search(1, score, done.append)
    every = np.concatenate(noise.drawn)
    assert len(every) == sum(done) == windows
    expected = set(np.sort(every)[-max(1, round(windows / 100)) :].tolist())
    assert shown(hard, 20) == expected


def test_what_is_found_before_an_epoch_is_shown_from_the_next_on():
    hard = HardNoise(Numbered(), seed=3, windows=1000, steps_per_epoch=10)
    assert shown(hard, 0) is shown(hard, 19) is None
    hard.search(1, score)
    assert shown(hard, 19) is None
    first = shown(hard, 20)
    hard.search(2, score)
    assert shown(hard, 29) == first
    assert first < shown(hard, 30)
    with pytest.raises(InputError, match="more --steps-per-epoch"):
        shown(hard, 40)


def test_the_newest_searches_are_shown():
    hard = HardNoise(Numbered(), seed=3, windows=200, steps_per_epoch=10)
    for epoch in range(1, SHOWN + 3):
        hard.search(epoch, score)
        before = shown(hard, 10 * (epoch + 1))
    ahead = shown(hard, 10 * epoch)  # of the epoch that is running, as it was before its search
    assert len(before) == len(ahead) == 2 * SHOWN
    assert len(before & ahead) == 2 * (SHOWN - 1)


@pytest.mark.parametrize("begun", [True, False])
def test_those_found_ahead_are_shown_beside_the_newest_searches(begun):
    given = {"seed": 3, "steps_per_epoch": 10, "ahead": np.full((3, 1, 1), 2, np.float32), "begun": begun}
    alone, hard = HardNoise(Numbered(), windows=0, **given), HardNoise(Numbered(), windows=1000, **given)
    for each in (alone, hard):
        assert shown(each, 0) == shown(each, 19) == ({2.0} if begun else None)
    assert shown(alone, 20) == shown(alone, 95) == {2.0}
    for epoch in (1, 2):
        hard.search(epoch, score)
    drawn = hard.draw(np.random.default_rng(0), 4000, 30)[:, 0, 0]
    assert np.mean(drawn == 2) == pytest.approx(0.5, abs=0.05)
    assert len(set(drawn)) == 21


def test_a_run_that_goes_on_finds_them_again(tmp_path):
    hard = HardNoise(Numbered(), seed=3, windows=3 * PIECE, steps_per_epoch=10)
    for epoch in (1, 2, 3):
        hard.search(epoch, score)
    hard.save(tmp_path / "hard.json")
    again = HardNoise(Numbered(), seed=3, windows=3 * PIECE, steps_per_epoch=10)
    again.restore(tmp_path / "hard.json", 3)
    assert shown(again, 30) == shown(hard, 30)
    # The search before the epoch that was not finished is done again.
    assert sorted(again._strain) == [1, 2]
    again.search(3, score)
    assert shown(again, 40) == shown(hard, 40)
    again.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((tmp_path / "hard.json").read_text())


def test_a_damaged_record(tmp_path):
    hard = HardNoise(Numbered(), seed=3, windows=100, steps_per_epoch=10)
    hard.restore(tmp_path / "none.json", 3)
    (tmp_path / "hard.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"hard\.json: is damaged"):
        hard.restore(tmp_path / "hard.json", 3)


def test_batches_show_them_among_the_negatives(small_bank):
    taps = np.zeros(512, np.float32)
    taps[256] = 1.0
    noise = GaussianNoise([[taps], [taps]], ("H1", "L1"), 2048, Whitening())
    hard = HardNoise(noise, seed=3, windows=300, steps_per_epoch=10)
    given = {"batch_size": 64, "seed": 1, "negatives": Negatives(lone_signal_share=0.1, hard_share=0.5)}
    opened = {name: kind() for name, kind in TABLE.items()} | {"hard noise": HardNegative(hard)}
    batches = InjectionBatches(small_bank, noise, opened=opened, **given)
    before = batches.examples(19)
    for name in ("strain", "kind"):  # as if there were none
        without = InjectionBatches(small_bank, noise, **given)
        np.testing.assert_array_equal(getattr(before, name), getattr(without.examples(19), name))
    assert KINDS.index("hard noise") not in before.kind
    hard.search(1, lambda strain: strain.max(axis=(1, 2)))
    own = [batches.examples(index) for index in range(20, 30)]
    kind, strain = (np.concatenate([getattr(e, name) for e in own]) for name in ("kind", "strain"))
    assert np.mean(kind[np.isin(kind, range(1, len(KINDS)))] == KINDS.index("hard noise")) == pytest.approx(
        0.5, abs=0.1
    )
    loudest = strain[kind == KINDS.index("hard noise")].max(axis=(1, 2))
    assert len(np.unique(loudest)) <= 3
    assert loudest.min() > np.median(strain[kind == KINDS.index("noise")].max(axis=(1, 2)))

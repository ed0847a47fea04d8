import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.evaluation.sensitivity import (
    MONTH_SECONDS,
    found_by,
    loudest_missed,
    match,
    sensitive_volume,
    sensitivity,
    threshold_at_rate,
    what_is_found,
)
from keras_gw_resnet.search.candidates import Candidates


def random_case(seed, events, injections):
    rng = np.random.default_rng(seed)
    mchirp = rng.uniform(6, 40, injections)
    table = {
        "tc": rng.permutation(np.arange(injections) * 27.0) + rng.uniform(0, 3, injections),
        "mchirp": mchirp,
        "distance": rng.uniform(130, 350, injections) * mchirp ** (5 / 6),
    }
    time = np.sort(
        np.concatenate([rng.uniform(0, 27 * injections, events), table["tc"] + rng.normal(0, 0.2, injections)])
    )
    return Candidates(time, rng.normal(size=len(time)), np.full(len(time), 0.3)), table


@given(st.integers(0, 1000), st.integers(0, 60), st.integers(1, 30))
def test_against_the_definition_written_out(seed, number, injections):
    events, table = random_case(seed, number, injections)
    background = np.random.default_rng(seed + 1).normal(size=50)
    found = match(events, table)
    order = np.argsort(table["tc"])
    for threshold in np.sort(background)[::7]:
        total = 0.0
        for i in range(injections):
            belongs = [
                j
                for j in range(len(events))
                if abs(events.time[j] - table["tc"][i]) <= events.var[j]
                and np.argmin(np.abs(events.time[j] - table["tc"][order])) == np.flatnonzero(order == i)[0]
            ]
            if any(events.stat[j] > threshold for j in belongs):
                total += table["mchirp"][i] ** 2.5
        volume = 4 / 3 * np.pi * table["distance"].max() ** 3 / (table["mchirp"].max() ** 2.5 * injections) * total
        assert sensitive_volume(found, threshold)[0] == pytest.approx(volume, rel=1e-6, abs=1e-9)


def test_one_a_month_is_the_second_loudest_of_a_month():
    stat = np.array([5.0, 1.0, 9.0, 7.0, 3.0])
    assert threshold_at_rate(stat, MONTH_SECONDS, 1 / MONTH_SECONDS) == 7.0
    assert threshold_at_rate(stat, MONTH_SECONDS, 2 / MONTH_SECONDS) == 5.0
    assert threshold_at_rate(stat, MONTH_SECONDS / 2, 1 / MONTH_SECONDS) is None
    assert threshold_at_rate(stat, MONTH_SECONDS, 100 / MONTH_SECONDS) == -np.inf


def test_everything_found_sees_as_far_as_the_set_reaches():
    table = {"tc": np.arange(10.0) * 30, "mchirp": np.full(10, 20.0), "distance": np.full(10, 1000.0)}
    events = Candidates(table["tc"] + 0.1, np.full(10, 9.0), np.full(10, 0.3))
    (row,) = sensitivity(match(events, table), np.arange(8.0), MONTH_SECONDS, [1.0])
    assert row["threshold"] == 6.0
    assert row["distance"] == pytest.approx(1000)
    assert row["found_fraction"] == 1
    assert row["distance_error"] == 0
    np.testing.assert_allclose(match(events, table).lag, 0.1, atol=1e-9)
    # As loud as the threshold is not found: a statistic that saturates sees nothing.
    saturated = sensitivity(match(events, table), np.full(8, 9.0), MONTH_SECONDS, [1.0])[0]
    assert saturated["distance"] == 0
    late = Candidates(table["tc"] + 0.31, np.full(10, 9.0), np.full(10, 0.3))
    assert sensitivity(match(late, table), np.arange(8.0), MONTH_SECONDS, [1.0])[0]["found_fraction"] == 0


def test_a_short_background_says_nothing_of_low_rates():
    events, table = random_case(0, 10, 10)
    rows = sensitivity(match(events, table), np.arange(100.0), 6 * 3600)
    assert [row["distance"] is None for row in rows] == [False, True, True, True]
    assert rows[-1] == {"rate": 1.0, **dict.fromkeys(list(rows[-1])[1:])}


def test_found_fraction_by_mass():
    events, table = random_case(3, 0, 30)
    found = match(events, table)
    by = found_by(found, found.mchirp, [0, 20, 50, 60], -np.inf)
    assert sum(by["number"]) == 30
    assert by["fraction"][2] is None
    hits = sum(f * n for f, n in zip(by["fraction"][:2], by["number"][:2], strict=True))
    assert hits == pytest.approx(np.count_nonzero(np.isfinite(found.stat)))


def matched_case():
    events, table = random_case(3, 40, 60)
    table["chirp_distance"] = table["distance"] / table["mchirp"] ** (5 / 6)
    table["snr"] = 3000 / table["chirp_distance"]
    found = match(events, table)
    return found, sensitivity(found, np.arange(-50.0, 0), MONTH_SECONDS, [1, 10, 30]), what_is_found(found, 0.0)


def test_what_the_distance_hides():
    found, _, by = matched_case()
    assert set(by) == {"mchirp", "chirp_distance", "snr"}
    for each in by.values():
        assert sum(each["number"]) == 60
    missed = loudest_missed(found, 0.0, number=5)
    assert [row["snr"] for row in missed] == sorted((row["snr"] for row in missed), reverse=True)
    every = found.injections["snr"][~(found.stat > 0)]
    assert missed[0]["snr"] == every.max()
    del found.injections["snr"]
    assert loudest_missed(found, 0.0)[0]["chirp_distance"] == pytest.approx(3000 / every.max())
    assert set(what_is_found(found, 0.0)) == {"mchirp", "chirp_distance"}
    assert loudest_missed(found, -np.inf, 99) == loudest_missed(
        found, found.stat[np.isfinite(found.stat)].min() - 1, 99
    )

import numpy as np
import pytest

from keras_gw_resnet.evaluation.noise_pieces import NoisePieces, bootstrapped
from keras_gw_resnet.evaluation.sensitivity import MONTH_SECONDS, Matched, sensitivity, threshold_at_rate


def pieces_of(piece, seconds=100.0):
    start = 1000.0 + 600.0 * np.arange(len(piece))
    distinct = {"H1": int(seconds * len(np.unique(piece[:, 0])))}
    return NoisePieces(start, start + seconds, piece, distinct, {"H1": 1}, [])


def measured(rng, number, uses, detectors=1):
    """A set of so many pieces of noise, each used so often with the same events in it, and with injections of one loudness."""
    piece = np.tile(np.arange(number), uses)
    pieces = pieces_of(np.stack([piece] * detectors, axis=-1))
    # A glitchy piece has many events, a quiet one none.
    own = [rng.normal(10, 2, rng.choice([0, 12])) for _ in range(number)]
    stat = np.concatenate([own[p] for p in piece])
    time = np.concatenate([np.full(len(own[p]), start + 5) for p, start in zip(piece, pieces.start, strict=True)])
    injections = {
        "tc": np.repeat(pieces.start + 50, 20),
        "mchirp": np.full(20 * len(piece), 20.0),
        "distance": np.full(20 * len(piece), 1000.0),
    }
    found = Matched(rng.normal(11, 3, 20 * len(piece)), np.zeros(20 * len(piece)), injections)
    seconds = pieces.seconds
    rows = sensitivity(found, stat, seconds, [20 / seconds * MONTH_SECONDS])
    return rows, bootstrapped(rows, found, stat, time, seconds, pieces), pieces


def test_what_is_drawn_is_the_set_on_average():
    pieces = pieces_of(np.array([[0, 1], [1, 2], [2, 0], [0, 2]]))
    weight = pieces.draw(np.random.default_rng(0), 4000)
    # Those without any segment are no sets.
    assert weight.any(axis=1).all()
    np.testing.assert_allclose(weight.sum(axis=0) / 4000, 1, atol=0.1)
    assert pieces.segments_of(np.array([1000.0, 1099.9, 1600.0, 2850.0])).tolist() == [0, 0, 1, 3]


def test_noise_that_is_used_again_makes_no_error_smaller():
    once, _, _ = measured(np.random.default_rng(1), 60, 1)
    single, several = (measured(np.random.default_rng(1), 60, uses)[1][0] for uses in (1, 4))
    assert single["threshold"] == once[0]["threshold"] and once[0]["threshold_error"] is None
    # Four times as much strain of the same noise: events would make the error half as large, pieces do not.
    assert several["threshold_error"] == pytest.approx(single["threshold_error"], rel=0.5)
    assert several["found_error"] > 0.7 * single["found_error"]
    # Injections alone, as if the threshold were known.
    (row,), _, _ = measured(np.random.default_rng(1), 60, 4)
    assert several["distance_error"] > 1.5 * row["distance_error"]


def test_the_error_of_a_threshold_is_its_spread_over_other_noise():
    thresholds, errors = [], []
    for seed in range(60):
        (row,), (with_errors,), _ = measured(np.random.default_rng(seed), 80, 1)
        thresholds.append(row["threshold"])
        errors.append(with_errors["threshold_error"])
    assert np.mean(errors) == pytest.approx(np.std(thresholds), rel=0.35)


def test_rates_that_the_background_does_not_show_stay_without_figures():
    rng = np.random.default_rng(2)
    pieces, stat = pieces_of(np.arange(10)[:, None]), rng.normal(size=10)
    injections = {"tc": pieces.start + 50, "mchirp": np.full(10, 20.0), "distance": np.full(10, 1000.0)}
    found = Matched(np.full(10, 9.0), np.zeros(10), injections)
    lowest = MONTH_SECONDS / pieces.seconds
    rows = sensitivity(found, stat, pieces.seconds, [lowest / 2, lowest, 1e4 * lowest])
    short, shown, all_found = bootstrapped(rows, found, stat, pieces.start + 5, pieces.seconds, pieces)
    assert short["distance"] is None and short["distance_error"] is None
    assert shown["threshold"] == threshold_at_rate(stat, pieces.seconds, 1 / pieces.seconds)
    assert shown["threshold_error"] > 0
    # Where all are found whatever is drawn, nothing is uncertain.
    assert all_found["found_fraction"] == 1 and all_found["threshold_error"] is None
    assert all_found["found_error"] == 0 and all_found["distance_error"] < 1e-9

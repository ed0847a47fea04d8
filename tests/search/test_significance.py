from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.search.significance import RATES, dispersion, false_alarms, probabilities
from keras_gw_resnet.search.background import Background, join_backgrounds
from keras_gw_resnet.search.candidates import Candidates
from keras_gw_resnet.search.probability import Density, astrophysical_probability
from keras_gw_resnet.search.ranks import YEAR_SECONDS, false_alarm_rate, own_number, rate_of_class
from keras_gw_resnet.search.significance import judge, significance
from keras_gw_resnet.zoo import load_card


def background_of(stat, seconds=YEAR_SECONDS):
    return Background(np.asarray(stat, float), np.zeros((len(stat), 2)), seconds)


@given(st.lists(st.integers(-9, 9), max_size=40), st.lists(st.integers(-10, 10), min_size=1, max_size=9))
def test_rate_counts_what_is_as_loud(background, events):
    rate, error = false_alarm_rate(np.array(events, float), background_of(background))
    for stat, found, sigma in zip(events, rate, error, strict=True):
        louder = 1 + sum(b >= stat for b in background)
        assert found == pytest.approx(louder)
        assert sigma == pytest.approx(np.sqrt(louder))


def test_rates_by_class_of_templates_count_their_own_background_twice():
    background = replace(background_of(np.arange(30.0)), light=np.repeat(np.int8([0, 1, -1]), [12, 12, 6]))
    found, limit = rate_of_class(np.array([5.0, 5.0, 5.0, 40.0]), np.int8([0, 1, -1, 1]), background)
    assert limit.tolist() == [False, False, False, True]
    np.testing.assert_allclose(found, [2 * (1 + 7), 2 * (1 + 12), np.nan, 2])
    few = replace(background, light=np.repeat(np.int8([0, 1]), [25, 5]))
    assert np.isnan(rate_of_class(np.array([5.0]), np.int8([1]), few)[0])


def test_density_is_that_of_the_sample():
    rng = np.random.default_rng(0)
    density = Density(rng.exponential(2.0, 20_000) - 4, -4.0)
    stat = np.array([-3.0, -1.0, 2.0, 12.0])
    expected = -np.log(2) - (stat + 4) / 2
    np.testing.assert_allclose(density.log(stat)[:3], expected[:3], atol=0.15)
    assert density.log(stat)[3] == pytest.approx(expected[3], abs=1)
    grid = np.linspace(-4, 60, 20_000)
    assert np.trapezoid(np.exp(density.log(grid)), grid) == pytest.approx(1, abs=0.03)


def test_probability_of_a_mixture_is_calibrated():
    """Of events drawn from known rates, as many are signals as the probabilities add up to."""
    rng = np.random.default_rng(1)
    noise = rng.exponential(1.0, 50_000)
    signals = 6 * rng.pareto(3.0, 2000) + 2
    stat = np.concatenate([rng.exponential(1.0, 1000), 6 * rng.pareto(3.0, 100) + 2])
    truth = np.arange(1100) >= 1000
    found = astrophysical_probability(stat, background_of(noise, 50_000.0), signals, 1000.0, 0.0)
    assert found.sum() == pytest.approx(100, abs=40)
    sure = found > 0.9
    assert np.mean(truth[sure]) > 0.85
    assert np.all(np.diff(found[np.argsort(stat)][-20:]) > -1e-9)
    assert 0 <= found.min() <= found.max() <= 1


def test_without_enough_to_go_by_there_is_no_probability():
    events = Candidates(np.array([1.0]), np.array([5.0]), np.array([0.1]))
    few = significance(events, background_of(np.arange(20.0)), {"signals": {"stat": [1.0] * 500}}, 100.0, 0.0)
    assert set(few) == {"far", "far_error", "ifar"}
    rng = np.random.default_rng(0)
    card = {"signals": {"stat": (2 + rng.pareto(3.0, 500)).tolist()}}
    many = significance(events, background_of(rng.exponential(1.0, 5000)), card, 100.0, 0.0)
    assert set(many) == {"far", "far_error", "ifar", "p_astro"}
    assert significance(events, background_of(rng.exponential(1.0, 5000)), {}, 100.0, 0.0).keys() == few.keys()


def noise_of(rng, number):
    """Statistics of noise that several detectors make, each alone far below all of them together."""
    stat = rng.exponential(1.1, number) - 4
    return stat, np.stack([stat - 8, stat - 8], axis=1)


def search_of(rng, *, signals=(), glitch=None, slides=20, seconds=600.0):
    """Draw a search: noise, signals of several detectors, and a glitch of one that each slide finds again."""
    stat, alone = noise_of(rng, 450)
    back, back_alone = noise_of(rng, 450 * slides)
    time, back_time = rng.uniform(0, seconds, len(stat)), rng.uniform(0, seconds, (len(back), 2))
    extra = np.asarray(signals, float)
    stat = np.concatenate([stat, extra])
    alone = np.concatenate([alone, np.stack([extra / 8 - 8, extra / 8 - 8], axis=1)])
    time = np.concatenate([time, rng.uniform(0, seconds, len(extra))])
    if glitch is not None:
        stat, alone = np.append(stat, glitch), np.append(alone, [[-5.0, glitch - 4]], axis=0)
        time = np.append(time, 300.0)
        again = glitch + rng.normal(0, 1, slides)
        back = np.append(back, again)
        back_alone = np.append(back_alone, np.stack([np.full(slides, -5.0), again - 4], axis=1), axis=0)
        back_time = np.append(
            back_time, np.stack([rng.uniform(0, seconds, slides), np.full(slides, 300.0)], axis=1), axis=0
        )
    events = Candidates(time, stat, np.full(len(stat), 0.2), alone)
    return events, Background(back, back_time, slides * seconds, slides, back_alone), seconds


def judged(events, background, seconds, card, **options):
    _, columns, taken = judge(events, background, card, seconds, -4.0, **options)
    # A higher false-alarm rate never goes with a higher probability.
    far, p = columns["far"], columns["p_astro"]
    order = np.lexsort((-p, far))
    assert np.all(np.diff(p[order]) <= 0)
    return columns, taken


@pytest.fixture(scope="module")
def signal_card():
    return {"signals": {"stat": (12 * np.random.default_rng(9).pareto(1.5, 512) - 3).tolist()}}


@given(seed=st.integers(0, 1000), loud=st.sampled_from([10.0, 40.0, 250.0, 9000.0]), slides=st.sampled_from([3, 8, 20]))
@settings(max_examples=8, deadline=None)
def test_a_glitch_of_one_detector_keeps_the_rate_that_slides_give_it(seed, loud, slides, signal_card):
    rng = np.random.default_rng(seed)
    events, background, seconds = search_of(rng, glitch=loud, slides=slides)
    columns, taken = judged(events, background, seconds, signal_card)
    assert columns["p_astro"][-1] < 0.1
    assert columns["ranked_down"][-1] and not columns["far_is_limit"][-1]
    assert len(events) - 1 not in taken
    # Once in the searched strain by itself, and once what several detectors make and ranks above it.
    assert 1 <= columns["far"][-1] / YEAR_SECONDS * seconds < 2.5


def test_a_signal_beside_a_louder_glitch_is_found(signal_card):
    events, background, seconds = search_of(np.random.default_rng(3), signals=[60.0], glitch=250.0)
    columns, taken = judged(events, background, seconds, signal_card)
    assert taken.tolist()[:1] == [len(events) - 2]
    assert columns["p_astro"][-2] > 0.99 and columns["p_astro"][-1] < 0.1
    assert columns["far_is_limit"][-2]
    assert columns["far"][-2] == pytest.approx(YEAR_SECONDS / (20 * seconds), rel=0.02)


@pytest.mark.parametrize("again", [2, 4])
def test_an_event_is_in_the_background_by_which_it_is_judged(again, signal_card):
    """Its strain makes louder ones in slides: inclusive and exclusive rates differ by them; in many slides it is no coincidence."""
    events, background, seconds = search_of(np.random.default_rng(4), signals=[15.0])
    own = np.array([[events.time[-1], 5.0]] * again)
    more = Background(np.full(again, 20.0), own, 0.0, 0, np.full((again, 2), -5.0))
    columns, taken = judged(events, join_backgrounds([background, more], 2), seconds, signal_card)
    assert len(events) - 1 not in taken
    times = columns["far"][-1] / YEAR_SECONDS * seconds
    assert columns["ranked_down"][-1] == (again == 4)
    if again == 4:
        assert 1 < times < 2 and columns["p_astro"][-1] <= 0.05
    else:
        assert times == pytest.approx((1 + again) / 20)
        assert columns["far_exclusive"][-1] == pytest.approx(YEAR_SECONDS / (20 * seconds), rel=0.02)


def test_what_is_made_again_by_chance_is_no_glitch():
    """In a long background everything has something as loud near it."""
    rng = np.random.default_rng(0)
    background = Background(rng.normal(size=50_000), rng.uniform(0, 500, (50_000, 2)), 10_000.0)
    time, stat = rng.uniform(0, 500, 300), rng.normal(size=300)
    number = own_number(time, stat, background)
    for i in range(0, 300, 30):
        near = np.any(np.abs(background.time - time[i]) <= 1, axis=1)
        assert number[i] == np.count_nonzero(near & (background.stat >= stat[i]))
    events = Candidates(time, stat, np.full(300, 0.1))
    assert not np.any(judge(events, background, {}, 500.0, -4.0)[1]["ranked_down"])


def test_rates_beyond_the_background_are_extrapolated_where_asked(signal_card):
    events, background, seconds = search_of(np.random.default_rng(5), signals=[20.0])
    columns, _ = judged(events, background, seconds, signal_card, extrapolate=True)
    assert columns["far_extrapolated"][-1] and not columns["far_is_limit"][-1]
    # The tail of this noise is known: exp(-(stat + 4) / 1.1) of 450 events in 600 s, the slowest of its fits counts.
    true = 450 / seconds * YEAR_SECONDS * np.exp(-24 / 1.1)
    assert true / 10 < columns["far"][-1] < true * 1e4
    assert columns["far_error"][-1] > columns["far"][-1]


def test_false_alarms_are_poisson_with_the_rate_that_is_stated():
    """In 100 searches of strain with glitches, at every rate: the mean within three standard errors, the dispersion that of Poisson."""
    counts = false_alarms(np.random.default_rng(21), load_card("resnet18-w16"), 100, seconds=600.0, slides=20)
    for rate, own in zip(RATES, counts.T, strict=True):
        mean, ratio, more, less = dispersion(own)
        print(f"{rate:g} expected, {mean:.2f} counted, variance over mean {ratio:.2f}")
        assert abs(mean - rate) < 3 * np.sqrt(rate / 100)
        assert more > 1e-3
        # The same glitches are in searched and slid strain, so that the most frequent false alarms scatter less.
        assert rate > 3 or less > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet18-w16", "flagship"])
def test_half_sure_events_are_half_of_them_signals(network):
    card, every = load_card(network), []
    for seconds, rate, slides, sets in (
        (300, 0.003, 8, 200),
        (1800, 0.001, 20, 40),
        (1800, 0.008, 20, 20),
        (3600, 0.025, 20, 6),
    ):
        options = {"seconds": float(seconds), "signal_rate": rate, "slides": slides}
        every.append(probabilities(np.random.default_rng(int(seconds * rate)), card, sets, **options))
    truth, probability = (np.concatenate(own) for own in zip(*every, strict=True))
    half = (probability > 0.4) & (probability < 0.6)
    print(f"of {np.count_nonzero(half)} events with p astro between 0.4 and 0.6 {np.mean(truth[half]):.2f} are signals")
    assert np.count_nonzero(half) > 60
    assert 0.3 < np.mean(truth[half]) < 0.7
    assert np.mean(truth[probability > 0.99]) > 0.95

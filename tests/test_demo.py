import pytest

from keras_gw_resnet.commands.train_arguments import old_names, parse_training
from keras_gw_resnet.demo import FIXED_EXAMPLES, MORE_SECONDS, Plan, plan, training_options
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.shipped import with_shipped


@pytest.mark.parametrize("rate", [10, 30, 100, 200, 300, 1000, 10000])
@pytest.mark.parametrize("waveform_rate", [0.5, 3, 30])
def test_the_plan_fits_the_machine(rate, waveform_rate):
    whole, chosen = Plan(), plan(rate, waveform_rate, 300)
    if chosen is None:
        assert min(rate / 100, waveform_rate) < 1
        return
    for name in vars(whole):
        assert 0 < getattr(chosen, name) <= getattr(whole, name)
    held_out = chosen.noise + chosen.signals + 2048
    examples = FIXED_EXAMPLES + chosen.epochs * (chosen.steps * 128 + held_out / 3)
    assert chosen.waveforms / waveform_rate + examples / rate < 300 + MORE_SECONDS


def test_a_machine_that_is_too_slow_trains_nothing():
    assert plan(10, 30, 300) is None
    assert plan(300, 0.2, 300) is None


def test_what_is_left_out_is_said():
    assert Plan().left_out() == []
    assert Plan(steps=40).left_out() == ["40 of 100 batches of 128 examples an epoch"]


def test_gw150914_ships(tmp_path, monkeypatch):
    headers = find_segments("GW150914")
    assert [h.detector for h in headers] == ["H1", "L1"]
    assert all(h.gps_start == 1126259446 and h.samples == 32 * 4096 for h in headers)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "GW150914").mkdir()
    assert with_shipped(["GW150914"]) == ["GW150914"]  # a folder of this name comes first


@pytest.mark.parametrize("rate", [100, 200, 1000])
def test_the_planned_training_is_one_that_can_be(rate, tmp_path):
    given = [str(part) for part in training_options(plan(rate, 5, 300), tmp_path, tmp_path / "run", 0)]
    config, _ = parse_training(given)
    assert config.metric.noise_windows == plan(rate, 5, 300).noise
    assert old_names(given) == {}

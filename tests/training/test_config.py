import json

import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.training.checks import check_memory
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.names import in_words_of


def test_survives_json_and_names_differences():
    config = TrainingConfig.of(model="resnet18", data="d", options={"width": 16, "kernel_size": [7, 3, 3, 3]})
    recorded = json.loads(json.dumps(config.to_dict()))
    assert config.differences(recorded) == []
    other = TrainingConfig.of(model="resnet18", data="d", options={"width": 16, "kernel_size": [7, 3, 3, 3]}, seed=4)
    assert other.differences(recorded) == ["seed: 0 -> 4"]


@pytest.mark.parametrize(
    ("options", "mentioned"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"steps_per_epoch": -1}, "--steps-per-epoch is -1"),
        ({"batch_size": 1}, "no signal or nothing else"),
        ({"learning_rate": 0}, "--learning-rate"),
        ({"snr_range": (9, 5)}, "--snr-range is 9 5"),
        ({"validation_share": 1.0}, "--validation-share"),
        ({"lone_signal_share": 2.0}, "--lone-signal-share is 2; expected a share"),
        ({"snr_range": (8, 1e300)}, "up to 1000"),
        ({"options": {"input_shape": [2048, 2]}}, "--options.input_shape"),
        ({"options": {"classes": 3}}, "--options.classes"),
        ({"noise": "both"}, "--noise both needs --psd"),
        ({"psd": ("aLIGOZeroDetHighPower",)}, "--noise gaussian or both"),
        ({"glitch_share": 0.9}, "sum to 1 at most"),
        ({"snr_start": (10, 25)}, "belong together"),
        ({"curriculum_epochs": 3}, "belong together"),
        ({"snr_start": (25, 10), "curriculum_epochs": 3}, "--snr-start is 25 10"),
        ({"noise": "gaussian"}, "--psd"),
        ({"warmup_epochs": 20}, "leaves nothing"),
        ({"weight_decay": 0.1}, "--optimizer adamw"),
        ({"finetune_epochs": 2}, "--growth blockwise"),
        ({"validation_noise": 9000}, "expected at least 10000"),
        ({"batch_size": 9, "devices": 2}, "cannot be divided among 2 devices"),
        ({"detectors": ("H1", "H1")}, "--detectors is H1 H1; expected each once"),
        ({"seed": -1}, "--seed"),
        ({"weight_averaging": 1.0}, "--weight-averaging"),
        ({"statistic_templates": 3}, "--statistic-shortcut too"),
        ({"statistic_shortcut": 1, "statistic_coherent": True}, "--statistic-templates too"),
        ({"options": {"statistic_coherent": True}, "detectors": ("H1", "V1")}, "for H1 and V1"),
        (
            {"options": {"statistic_coherent": True}, "whitening": Whitening(sample_rate=4096)},
            "2048 Hz, not 4096",
        ),
        (
            {"statistic_shortcut": 1, "statistic_templates": 3, "statistic_coherent": True, "detectors": ("H1", "V1")},
            "--statistic-coherent false for H1 and V1",
        ),
        ({"options": {"statistic_shortcut": 1, "statistic_templates": 3}}, "nothing would fill them"),
    ],
)
def test_contradictions_are_refused(options, mentioned):
    with pytest.raises(InputError) as refused:
        TrainingConfig.of(model="resnet18", data="d", **options)
    assert mentioned in in_words_of(str(refused.value), options)


def test_windows_that_no_memory_holds_are_refused():
    check_memory(TrainingConfig.of(model="resnet18", data="d"))
    with pytest.raises(InputError, match="GB of memory"):
        check_memory(TrainingConfig.of(model="resnet18", data="d", metric={"batches": 10**9}))

import itertools
import json

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.models.graph_blocks import blocks_of
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.growth import check_growth, network_of, phases_of
from keras_gw_resnet.training.optimization import new_network
from tests.conftest import run_command, tiny_training


def config(model="resnet16", **options):
    given = {"epochs": 8, "finetune_epochs": 1, "options": {"width": 4}, **options}
    return TrainingConfig.of(
        model=model, data="d", detectors=("H1", "L1"), window_samples=2048, growth="blockwise", **given
    )


def test_phases_follow_each_other_and_cover_all_epochs():
    phases = phases_of(config(epochs=17, finetune_epochs=2))
    assert [p.block for p in phases] == [*range(7), None]
    assert (phases[0].first, phases[-1].last) == (0, 17)
    assert all(a.last == b.first < b.last for a, b in itertools.pairwise(phases))
    assert [p.block for p in phases_of(TrainingConfig.of(model="resnet16", data="d"))] == [None]


def test_each_phase_trains_its_block_alone_and_keeps_what_was_learnt():
    own, before = config(), None
    for phase in phases_of(own):
        network = network_of(own, phase, before)
        blocks = blocks_of(new_network(own))
        trained = {layer.name for layer in network.layers if layer.trainable_weights}
        if phase.block is None:
            assert {"stem_conv", "stage4_block0_conv1", "score"} <= trained
        else:
            others = {b.name for i, b in enumerate(blocks) if i != phase.block}
            assert not [name for name in trained if name.rsplit("_", 1)[0] in others]
            assert ("stem_conv" in trained) == (phase.block == 0)
            last = phase.block == len(blocks) - 1
            assert ("score" if last else "growth_score") in trained
        if before is not None:
            for layer in before.layers:
                if layer.weights and layer.name != "growth_score":
                    for a, b in zip(layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True):
                        np.testing.assert_array_equal(a, b)
        for variable in network.trainable_variables:
            variable.assign(np.asarray(variable) + 0.01)
        before = network


def test_networks_without_blocks_or_epochs_are_refused():
    with pytest.raises(InputError, match="gabbard2018 has no residual blocks"):
        check_growth(new_network(config("gabbard2018", options={})), config("gabbard2018", options={}))
    with pytest.raises(InputError, match="too few for the 7 blocks"):
        check_growth(new_network(config()), config(epochs=7))


def test_a_network_grows_through_the_command_line(small_data, tmp_path):
    out = tmp_path / "grown"
    changes = {
        "--model": "residual-cnn",
        "--epochs": 5,
        "--steps-per-epoch": 1,
        "--growth": "blockwise",
        "--finetune-epochs": 1,
    }
    result = run_command("train.py", *tiny_training(small_data, out, **changes))
    assert result.returncode == 0, result.stderr
    assert [
        line.split()[2:4] for line in result.stdout.splitlines() if line.startswith("epoch") and "block" in line
    ] == [["block", str(i)] for i in range(1, 6)]
    names = {layer.name for layer in keras.saving.load_model(out / "model.keras").layers}
    assert "score" in names
    assert "growth_score" not in names
    assert json.loads((out / "card.json").read_text())["training"]["epoch_kept"] == 5

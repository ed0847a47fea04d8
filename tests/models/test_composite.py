import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.models.composite import FAMILIES, StackedNetwork


@pytest.mark.parametrize("first", FAMILIES)
@pytest.mark.parametrize("second", FAMILIES)
def test_any_family_may_follow_any_other(first, second):
    model = StackedNetwork([(first, 2), (second, 3)], width=8)
    assert model.get_layer("score").output.shape == (None, 1)
    features = model.get_layer("pool").input
    assert features.shape[-1] == 16
    prefixes = {layer.name.split("_")[1] for layer in model.layers if layer.name.startswith("stage")}
    assert prefixes == {first, second}


@pytest.mark.parametrize(
    ("stages", "mentioned"),
    [
        ([], "expected whole numbers"),
        ([("recurrent", 2)], "unknown family 'recurrent'"),
        ([("dense", 0)], "dense blocks=0"),
        ("dense", "expected a list of"),
        (3, "expected a list of"),
    ],
)
def test_bad_stages(stages, mentioned):
    with pytest.raises(InputError, match=mentioned):
        StackedNetwork(stages)

import pytest
from keras import layers

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.densenet import BLOCK_COUNTS, DenseNet
from keras_gw_resnet.models.nodes import layer_giving


def concatenated(tensor):
    """The tensors that a tensor of a dense block is made of, Concatenates taken apart."""
    operation = layer_giving(tensor)
    if not isinstance(operation, layers.Concatenate):
        return [tensor]
    return [part for source in operation.input for part in concatenated(source)]


@pytest.mark.parametrize("depth", BLOCK_COUNTS)
def test_every_layer_sees_all_before_it_in_its_block(depth):
    model = build_model(f"densenet{depth}", width=4)
    for stage, count in enumerate(BLOCK_COUNTS[depth], start=1):
        made = []
        for index in range(count):
            seen = concatenated(model.get_layer(f"stage{stage}_layer{index}_conv1_norm").input)
            names = {layer_giving(tensor).name for tensor in seen}
            assert {f"stage{stage}_layer{i}_conv2" for i in made} <= names
            assert len(seen) == index + 1
            made.append(index)


def test_growth_and_compression():
    model = DenseNet((3, 2), width=8, growth_rate=5, compression=0.5)
    assert model.get_layer("stage1_layer2_concat").output.shape[-1] == 8 + 3 * 5
    assert model.get_layer("stage1_transition").filters == (8 + 15) // 2
    assert model.get_layer("stage1_layer0_conv1").filters == 20
    with pytest.raises(InputError, match="compression=0"):
        DenseNet((1,), compression=0)

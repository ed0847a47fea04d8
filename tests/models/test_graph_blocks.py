import itertools

import numpy as np
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.models.graph_blocks import blocks_of


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet18", 8), ("resnet50", 16), ("highway20", 15), ("aresgw54", 27), ("residual-cnn", 4), ("gabbard2018", 0)],
)
def test_every_block_is_found_in_order(name, count):
    blocks = blocks_of(build_model(name, width=4))
    assert len(blocks) == count
    assert len({b.name for b in blocks}) == count
    for before, after in itertools.pairwise(blocks):
        assert before.output.shape[1] >= after.output.shape[1]


@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {}), ("resnet18", {"preactivation": True}), ("highway20", {})]
)
def test_a_block_gives_what_it_takes_and_adds(name, options):
    import keras

    model = build_model(name, width=4, **options)
    block = blocks_of(model)[1]
    probe = keras.Model(model.input, [block.entry, block.branch, block.output])
    strain = np.random.default_rng(0).standard_normal((2, 2048, 2), np.float32)
    entry, branch, output = (keras.ops.convert_to_numpy(t) for t in probe(strain, training=False))
    if name == "highway20":
        assert entry.shape == branch.shape == output.shape
        return
    total = entry + branch
    np.testing.assert_allclose(output, total if options else np.maximum(total, 0), rtol=1e-5, atol=1e-5)

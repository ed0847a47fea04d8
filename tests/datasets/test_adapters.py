import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.datasets.py_adapter import BatchSequence
from keras_gw_resnet.datasets.shard import Shard
from keras_gw_resnet.datasets.tf_adapter import to_dataset


class Counting:
    """Batches that say which they are."""

    batch_size = 8

    def __getitem__(self, index):
        return self.rows(index, 0, 8)

    def rows(self, index, first, last):
        strain = np.random.default_rng(index).normal(size=(8, 64, 2)).astype("float32")
        return strain[first:last], np.full((last - first, 1), index, np.float32)


def test_both_adapters_give_the_same_batches_in_the_same_order():
    dataset, sequence = to_dataset(Counting(), 5, 7), BatchSequence(Counting(), 5, 7)
    assert int(dataset.cardinality()) == len(sequence) == 7
    found = list(dataset)
    assert len(found) == 7
    for index, (strain, label) in enumerate(found):
        own_strain, own_label = sequence[index]
        np.testing.assert_array_equal(strain.numpy(), own_strain)
        np.testing.assert_array_equal(label.numpy(), own_label)
        assert label.numpy()[0, 0] == 5 + index


def test_keras_trains_from_either_to_the_same_weights():
    import keras

    def trained(data):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((64, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=False)
        model.fit(data, epochs=1, shuffle=False, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_allclose(
        trained(to_dataset(Counting(), 0, 6)), trained(BatchSequence(Counting(), 0, 6)), rtol=1e-5, atol=1e-7
    )


def test_shards_together_are_the_whole():
    whole = Counting()
    parts = [Shard(whole, i, 4) for i in range(4)]
    assert {part.batch_size for part in parts} == {2}
    np.testing.assert_array_equal(np.concatenate([part[3][0] for part in parts]), whole[3][0])
    np.testing.assert_array_equal(np.concatenate([part[3][1] for part in parts]), whole[3][1])
    with pytest.raises(InputError, match="batch of 8 cannot be divided among 3"):
        Shard(whole, 0, 3)
    with pytest.raises(InputError, match="process 4 of 4"):
        Shard(whole, 4, 4)

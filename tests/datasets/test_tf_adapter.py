import numpy as np

from keras_gw_resnet.datasets.tf_adapter import to_dataset


class Counting:
    def __getitem__(self, index):
        return np.full((4, 8, 2), index, np.float32), np.full((4, 1), index % 2, np.float32)


def test_batches_come_in_order_and_their_number_is_known():
    dataset = to_dataset(Counting(), 10, 7)
    assert int(dataset.cardinality()) == 7
    assert dataset.element_spec[0].shape == (4, 8, 2)
    for _ in range(2):
        seen = [(x.numpy()[0, 0, 0], y.numpy()[0, 0]) for x, y in dataset]
        assert seen == [(i, i % 2) for i in range(10, 17)]


def test_each_pass_through_a_fresh_set_goes_on():
    dataset = to_dataset(Counting(), 10, 7, fresh=True)
    assert int(dataset.cardinality()) == 7
    seen = [[x.numpy()[0, 0, 0] for x, _ in dataset] for _ in range(2)]
    assert seen == [list(range(10, 17)), list(range(17, 24))]

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.strain.quality import flagged, valid_runs


def test_flags_are_read_by_name():
    mask = np.array([0b01, 0b11, 0b10], np.uint32)
    np.testing.assert_array_equal(flagged(mask, [b"DATA", b"CBC_CAT1"], "DATA"), [True, True, False])
    np.testing.assert_array_equal(flagged(mask, ["CBC_CAT1", "DATA"], "DATA"), [False, True, True])
    assert flagged(mask, [b"CBC_CAT1"], "DATA") is None


@given(st.lists(st.booleans(), max_size=50))
def test_runs_are_the_true_stretches(valid):
    runs = valid_runs(valid)
    rebuilt = np.zeros(len(valid), bool)
    for start, stop in runs:
        assert start < stop
        rebuilt[start:stop] = True
    assert rebuilt.tolist() == valid
    assert all(a[1] < b[0] for a, b in itertools.pairwise(runs))

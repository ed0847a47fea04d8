import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_gw_resnet.strain.quality import count_flags, flagged, meaning, valid_runs


def test_flags_are_read_by_name():
    mask = np.array([0b01, 0b11, 0b10], np.uint32)
    np.testing.assert_array_equal(flagged(mask, [b"DATA", b"CBC_CAT1"], "DATA"), [True, True, False])
    np.testing.assert_array_equal(flagged(mask, ["CBC_CAT1", "DATA"], "DATA"), [False, True, True])
    assert flagged(mask, [b"CBC_CAT1"], "DATA") is None


def test_set_seconds_are_counted_under_their_own_name():
    quality = (np.array([1, 3, 2, 3], np.uint32), ["DATA", "CBC_CAT1"])
    s5_injections = (np.array([0, 0, 0, 1], np.uint32), ["HW_CBC"])
    assert count_flags([quality, s5_injections]) == (("DATA", 3, 4), ("CBC_CAT1", 3, 4), ("HW_CBC", 1, 4))
    assert count_flags([]) == ()
    assert [meaning(name) for name in ("CBC_CAT1", "NO_CBC_HW_INJ")] == ["is good", "is good"]
    assert meaning("HW_CBC") == "has an injection"


@given(st.lists(st.booleans(), max_size=50))
def test_runs_are_the_true_stretches(valid):
    runs = valid_runs(valid)
    rebuilt = np.zeros(len(valid), bool)
    for start, stop in runs:
        assert start < stop
        rebuilt[start:stop] = True
    assert rebuilt.tolist() == valid
    assert all(a[1] < b[0] for a, b in itertools.pairwise(runs))

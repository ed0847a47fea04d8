import numpy as np

from keras_gw_resnet.simulation.example_event import SIMULATED_COALESCENCE, write_simulated_event
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import whitened_stretches


def test_the_simulated_event_stands_where_it_says(tmp_path):
    paths = write_simulated_event(tmp_path)
    assert all("SIMULATED" in path.name for path in paths)
    (stretch,) = whitened_stretches(find_segments(tmp_path), ("H1", "L1"), Whitening())
    time = stretch.gps_start + np.arange(len(stretch.strain)) / 2048
    near = np.abs(time - SIMULATED_COALESCENCE) < 0.05
    for strain in stretch.strain.T:
        assert np.abs(strain[near]).max() > 5
        assert abs(time[np.argmax(np.abs(strain))] - SIMULATED_COALESCENCE) < 0.05

import numpy as np
import pytest

from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay, lal_geometry


@pytest.mark.parametrize("name", ["H1", "L1", "V1"])
def test_response_and_delay_agree_with_pycbc(name):
    from pycbc.detector import Detector

    detector, gps = Detector(name), 1238166018.0
    rng = np.random.default_rng(0)
    ra, psi = rng.uniform(0, 2 * np.pi, (2, 20))
    dec = np.arcsin(rng.uniform(-1, 1, 20))
    longitude = ra - detector.gmst_estimate(gps)
    geometry = lal_geometry(name)
    plus, cross = antenna_pattern(geometry, longitude, dec, psi)
    delay = arrival_delay(geometry, longitude, dec)
    for i in range(20):
        theirs = detector.antenna_pattern(ra[i], dec[i], psi[i], gps)
        assert (plus[i], cross[i]) == pytest.approx(theirs, abs=1e-6)
        assert delay[i] == pytest.approx(detector.time_delay_from_earth_center(ra[i], dec[i], gps), abs=1e-8)

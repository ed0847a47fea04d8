import pytest

from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.conditioning import Whitening, whitening_filter


@pytest.fixture(scope="module")
def taps():
    settings = Whitening()
    psds = [load_psd(n, 0.25, 1024) for n in ("aLIGOZeroDetHighPower", "aLIGOEarlyHighSensitivityP1200087")]
    return [[whitening_filter(psd, settings)] for psd in psds]

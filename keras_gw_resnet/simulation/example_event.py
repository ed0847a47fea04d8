"""A simulated event in GWOSC layout, for machines that hold no real strain."""

from pathlib import Path

import numpy as np

from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay, lal_geometry
from keras_gw_resnet.simulation.noise import coloured_noise
from keras_gw_resnet.simulation.populations import get_population
from keras_gw_resnet.simulation.waveforms import polarizations
from keras_gw_resnet.strain.writers import write_gwosc

SIMULATED_GPS_START = 1300000000
SIMULATED_COALESCENCE = SIMULATED_GPS_START + 16.4

# Masses and distance like those of GW150914 (arXiv 1602.03837), in the detector frame, without spin.
PARAMETERS = {
    "mass1": 39.0,
    "mass2": 32.0,
    "distance": 410.0,
    "inclination": 2.6,
    "coa_phase": 1.0,
    **{f"spin{body}{axis}": 0.0 for body in "12" for axis in "xyz"},
}
PSD, SEED = "aLIGOMidHighSensitivityP1200087", 14
LONGITUDE, DECLINATION, POLARIZATION = 1.2, -1.2, 0.6


def write_simulated_event(folder: Path | str) -> list[Path]:
    """Write 32 s of simulated noise of H1 and L1 at 4096 Hz with a binary like GW150914, one GWOSC file a detector.

    Args:
        folder: Where to write.

    Returns:
        List of the files' paths; the coalescence is at GPS `SIMULATED_COALESCENCE`.
    """
    rate, seconds, paths = 4096, 32, []
    hplus, hcross = polarizations(PARAMETERS, get_population("set1"), rate)
    merger = round(-float(hplus.start_time) * rate)
    for number, name in enumerate(("H1", "L1")):
        strain = coloured_noise(PSD, SIMULATED_GPS_START, seconds, seed=SEED + number, sample_rate=rate)
        geometry = lal_geometry(name)
        plus, cross = antenna_pattern(
            geometry, np.array([LONGITUDE]), np.array([DECLINATION]), np.array([POLARIZATION])
        )
        signal = plus[0] * hplus.numpy() + cross[0] * hcross.numpy()
        delay = arrival_delay(geometry, np.array([LONGITUDE]), np.array([DECLINATION]))[0]
        first = round((SIMULATED_COALESCENCE - SIMULATED_GPS_START + delay) * rate) - merger
        begin, end = max(0, first), min(len(strain), first + len(signal))
        strain[begin:end] += signal[begin - first : end - first]
        path = Path(folder) / f"{name[0]}-{name}_SIMULATED-{SIMULATED_GPS_START}-{seconds}.hdf5"
        write_gwosc(path, name, SIMULATED_GPS_START, rate, strain, "SIMULATED noise with a simulated binary black hole")
        paths.append(path)
    return paths

"""Populations, waveforms and noise; the only room that imports pycbc and lal."""

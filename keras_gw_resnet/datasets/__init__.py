"""Waveforms and noise to training batches: a batch is a pure function of (seed, index)."""

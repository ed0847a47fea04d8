"""From strain files to whitened arrays; no other room opens strain HDF5."""

"""Configuration, distribution and fitting."""

"""Scores to figures of merit and pictures."""

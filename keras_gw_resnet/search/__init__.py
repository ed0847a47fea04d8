"""Scan strain with a network and cluster what it finds into events."""

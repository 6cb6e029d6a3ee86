"""Measures that have to run the model."""

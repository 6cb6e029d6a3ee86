"""Measures on traces and graphs, in NumPy: what heads attend to, what flows, and what shape it has."""

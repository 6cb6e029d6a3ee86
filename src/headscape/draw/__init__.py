"""Matplotlib figures of traces. Importing this package does not load Matplotlib."""

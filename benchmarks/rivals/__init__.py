"""The parts of benchmarks/viewer.py: material, pages of every library, a browser that is watched, a table."""

"""What every test gets: two workers share two cores, and figures open no window."""

import os

# Before torch or Matplotlib are imported. One thread per worker where pytest-xdist runs several.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"

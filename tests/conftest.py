"""Before anything imports NumPy: one thread a process, for two processes share the machine and matrices are small."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

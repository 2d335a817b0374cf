"""The command: ``python -m benchmarks [--quick] [--only PART ...] [--threads 2] [--out FILE]``."""

import os
import sys

THREADS = next((b for a, b in zip(sys.argv, sys.argv[1:], strict=False) if a == "--threads"), "2")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = THREADS  # before torch and NumPy are loaded; the Makefile says 1 for everything else

from .run import main  # noqa: E402

if __name__ == "__main__":
    main()

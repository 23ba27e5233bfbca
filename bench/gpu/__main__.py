"""`python -m bench.gpu`: see `bench/gpu/check.py`."""

import sys

from bench.gpu.check import main

if __name__ == "__main__":
    sys.exit(main())

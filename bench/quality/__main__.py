"""`python -m bench.quality`: see `bench/quality/compare.py`."""

from bench.quality.compare import main

if __name__ == "__main__":
    main()

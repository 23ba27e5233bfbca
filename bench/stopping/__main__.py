"""`python -m bench.stopping`: see `bench/stopping/digits.py`."""

from bench.stopping.digits import main

if __name__ == "__main__":
    main()

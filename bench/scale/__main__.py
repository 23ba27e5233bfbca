"""`python -m bench.scale`: see `bench/scale/trials.py`."""

from bench.scale.trials import main

if __name__ == "__main__":
    main()

"""`python -m bench.chaos`: see `bench/chaos/kills.py`."""

from bench.chaos.kills import main

if __name__ == "__main__":
    main()

"""`python -m bench.dashboard`: see `bench/dashboard/pages.py`."""

from bench.dashboard.pages import main

if __name__ == "__main__":
    main()

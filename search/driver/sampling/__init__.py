"""Which student a search trains next."""

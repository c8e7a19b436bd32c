"""One page per experiment. Start from `page.py`."""

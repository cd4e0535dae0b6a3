"""Printing a page to a terminal, or to a program that reads only the beginning of it."""

import os
import sys


def show(text: str) -> None:
    """Print a text. Whoever stops reading it, as `head` does, has read enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end

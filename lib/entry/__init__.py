"""Installed as the package `overnight`, the one name that this project takes: see `__main__`, and setup.py."""

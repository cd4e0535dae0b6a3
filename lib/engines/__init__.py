"""Engines: loaded models, and retrievers' indexes, that answer requests."""

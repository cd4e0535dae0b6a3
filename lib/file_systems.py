"""The file systems behind paths and URLs. fsspec comes with the first one: most refusals of a line need none."""

from typing import Any


def file_system(path: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path on it. Raises what fsspec raises where it knows none."""
    from fsspec.core import url_to_fs

    fs, place = url_to_fs(path)
    return fs, str(place)


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's own, or mounted here."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)

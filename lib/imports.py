"""Packages that others import along, at a price of seconds, and that nothing here needs."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution


@contextmanager
def without(package: str) -> Iterator[None]:
    """Within, `package` is as if it were not installed, for libraries that use it only where there is one.

    One that is imported already stays as it is. All threads see it so: only for imports at a start.
    """
    finder = _Without(package)
    sys.meta_path[:] = [finder]
    try:
        yield
    finally:
        at = sys.meta_path.index(finder)
        sys.meta_path[at : at + 1] = finder.others  # those stay that were put beside it meanwhile


class _Without:
    """Finds what the other finders of modules and of distributions find, but for one package."""

    def __init__(self, package: str) -> None:
        self.others = list(sys.meta_path)
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module is, None where there is none."""
        if name == self._package:
            return None
        return next(filter(None, (finder.find_spec(name, path, target) for finder in self.others)), None)

    def find_distributions(self, context: object) -> Iterator["Distribution"]:
        """What is installed, for importlib.metadata."""
        for finder in self.others:
            yield from getattr(finder, "find_distributions", lambda _: ())(context)

"""A copy of the code: tomorrow's edits don't change tonight's run."""

import hashlib
import os
import shutil
from pathlib import Path

from lib import ROOT
from lib.data.atomic import temporary_of
from lib.errors import ConfigError

_PARTS = ("jobs", "lib", "conf", "slurm")


class Snapshot:
    """The code as it is now, uncommitted edits included. path: where its copy lies, or will lie."""

    def __init__(self, into: Path) -> None:
        """into: the folder that holds the copies; equal code is one copy. Raises ConfigError outside a checkout."""
        if missing := [part for part in _PARTS if not (ROOT / part).is_dir()]:
            raise ConfigError(f"{ROOT} has no {' and no '.join(missing)}: submit from a checkout of the project")
        self._files = sorted(
            path
            for part in _PARTS
            for path in (ROOT / part).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(f"{path.relative_to(ROOT)}\n{path.stat().st_size}\n".encode() + path.read_bytes())
        self.path = into / f"code-{digest.hexdigest()[:8]}"

    def write(self) -> None:
        """Make the copy, whole or not at all, unless it is there."""
        if self.path.is_dir():
            return
        temporary = temporary_of(self.path)
        for path in self._files:
            target = temporary / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        try:
            os.rename(temporary, self.path)
        except OSError:  # another submission has just made it
            shutil.rmtree(temporary)
            if not self.path.is_dir():
                raise

"""Where copies and conversions are kept that can be made again at any time."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder of one kind of them: `$XDG_CACHE_HOME/overnight/<kind>`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overnight" / kind

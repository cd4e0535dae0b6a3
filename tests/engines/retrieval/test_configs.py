"""Every file of `conf/retriever/` composes into its own type."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import conf
from lib.engines.base import EngineConfig
from lib.engines.retrieval.retriever import CorpusConfig
from lib.errors import ConfigError
from lib.launch import typed

CONF = Path(conf.__file__).parent
NAMES = sorted(path.stem for path in (CONF / "retriever").glob("*.yaml"))


@dataclass(frozen=True, kw_only=True)
class _Config:
    retriever: EngineConfig


def make(name: str, *overrides: str) -> EngineConfig:
    conf.register("retriever_alone", _Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(None, overrides=[f"+retriever={name}", *overrides])
    config: EngineConfig = typed(composed)["retriever"]
    return config


@pytest.mark.parametrize("name", NAMES)
def test_composes(name: str) -> None:
    assert (CONF / "retriever" / f"{name}.yaml").read_text().startswith("# ")
    schema = conf.SCHEMAS[f"retriever/{name.partition('_')[0]}"]
    config = make(name, *(["retriever.corpus=x"] if issubclass(schema, CorpusConfig) else ["retriever.cache=x"]))
    assert type(config) is schema
    if "_" in name:
        assert config.language.value == name.partition("_")[2]  # type: ignore[attr-defined]


def test_a_corpus_has_to_be_given() -> None:
    with pytest.raises(ConfigError, match=r"retriever\.corpus must be given"):
        make("exact").check("search")

"""Roles and widths of embedders; roles against sentence-transformers' own choice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.engines.checkpoints import checkpoint
from lib.engines.checkpoints import embedding_prompts as roles
from lib.engines.dummy import WIDTH, DummyConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.engines.vllm.vllm_config import VllmConfig
from lib.errors import ConfigError
from tests.engines.conftest import Save
from tests.engines.transformers.test_causal import tiny
from tests.engines.transformers.test_embedder import MINILM, config_of

SAYINGS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({}, ("", "")),
    ({"prompts": None}, ("", "")),
    ({"prompts": {"query": "Q: ", "document": "D: "}}, ("Q: ", "D: ")),
    ({"prompts": {"query": "Q: ", "document": "", "passage": "P: "}}, ("Q: ", "P: ")),
    ({"prompts": {"corpus": "C: ", "other": "O: "}}, ("", "C: ")),
    ({"prompts": {"sts": "S: ", "query": "Q: "}, "default_prompt_name": "sts"}, ("Q: ", "")),
]


@pytest.mark.parametrize(("saying", "expected"), SAYINGS)
def test_roles_are_found_under_their_names(saying: dict[str, Any], expected: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / roles.FILE).write_text(json.dumps({"__version__": {}, **saying}))
    assert tuple(roles.read(tmp_path, "x").values()) == expected


def test_roles_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    SentenceTransformer(
        str(checkpoint.folder(MINILM)),
        device="cpu",
        prompts={"query": "Q: ", "document": "D: ", "sts": "S: "},
        default_prompt_name="sts",
    ).save_pretrained(str(folder))
    config = config_of(folder, device="cpu")
    tokenizer = config.load_tokenizer()
    engine: Any = config.load(tokenizer, "embed")
    prompts = config.embedding_prompts()
    text = "tea in Kyoto"
    ours = engine.embed([tokenizer.embedding_prompt(prompts[role] + text) for role in ("query", "document")]).values
    theirs = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(ours, [theirs.encode_query(text), theirs.encode_document(text)], atol=1e-5)
    assert not np.allclose(ours[0], ours[1], atol=0.01)


def test_the_config_comes_before_the_folder(save: Save) -> None:
    folder = save(tiny("llama"))
    assert config_of(folder).embedding_prompts() == {"query": "", "document": ""}
    (folder / roles.FILE).write_text('{"prompts": {"query": "Q: ", "document": "D: "}}')
    assert config_of(folder).embedding_prompts() == {"query": "Q: ", "document": "D: "}
    assert config_of(folder, prompts={"query": ""}).embedding_prompts() == {"query": "", "document": "D: "}
    assert VllmConfig(model=str(folder), prompts={"document": "X"}).embedding_prompts()["document"] == "X"
    assert DummyConfig().embedding_prompts() == {"query": "", "document": ""}


def test_what_the_folder_says_of_roles_is_part_of_its_identity(save: Save) -> None:
    folder = save(tiny("llama"))
    first = config_of(folder).identity()
    (folder / roles.FILE).write_text('{"prompts": {"query": "Q: "}}')
    assert config_of(folder).identity()["weights_hash"] != first["weights_hash"]


def test_bad_roles_are_refused(save: Save) -> None:
    with pytest.raises(ConfigError, match=r"engine\.prompts: has passage; its keys are query and document"):
        TransformersConfig(model="x", prompts={"passage": "P: "})
    folder = save(tiny("llama"))
    (folder / roles.FILE).write_text("{")
    with pytest.raises(ConfigError, match=rf"engine\.model=.*{roles.FILE} cannot be read"):
        config_of(folder).check("embed")


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_width_is_that_of_the_vectors(name: str, save: Save) -> None:
    config = config_of(save(tiny(name)))
    engine: Any = config.load(config.load_tokenizer(), "embed")
    assert engine.embed([[5, 6]]).values.shape == (1, config.width())


def test_widths_under_other_names(tmp_path: Path) -> None:
    import transformers

    for config, expected in (
        (transformers.DistilBertConfig(dim=24), 24),
        (transformers.GPT2Config(n_embd=48), 48),
        (transformers.Gemma3Config(text_config={"hidden_size": 32}), 32),
    ):
        config.save_pretrained(tmp_path)
        (tmp_path / "model.safetensors").touch()
        assert TransformersConfig(model=str(tmp_path)).width() == expected
    assert DummyConfig().width() == WIDTH


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "nobody_knows"}, "has no hidden_size, and transformers can't tell it"),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "code.Own"}},
            "has no hidden_size, and transformers can't tell",
        ),
        ({}, "has no hidden_size, and transformers can't tell it"),
        ({"text_config": 3}, "text_config is 3, but must be a dict"),
        ({"architectures": "OwnModel"}, "architectures is 'OwnModel', but must be a list"),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size='wide' in its config.json is no width"),
    ],
)
def test_a_width_that_cannot_be_told_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["OwnModel"], **settings}))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match=said):
        TransformersConfig(model=str(tmp_path)).width()

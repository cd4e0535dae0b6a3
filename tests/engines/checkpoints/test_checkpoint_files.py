"""What a checkpoint's small files say is obeyed, or refused with both values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.engines.checkpoints.stored_quantization import cpu_flags, require_cpu_kernel, stored
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.engines.vllm.vllm_config import VllmConfig, VllmQuantization
from lib.errors import ConfigError
from tests.engines.conftest import Save, word_tokenizer
from tests.engines.transformers.test_causal import SMALL, tiny

MODULES = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")]
BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
EOS = 2
Engine = type[TransformersConfig] | type[VllmConfig]


def put(folder: Path, name: str, content: object) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def change(folder: Path, name: str, changes: Mapping[str, Any]) -> None:
    put(folder, name, json.loads((folder / name).read_text()) | changes)


def config(folder: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(model=str(folder), **({"max_model_len": 64} | changes))


def encoder(save: Save, **settings: Any) -> Path:
    import transformers

    folder = save(transformers.BertModel(transformers.BertConfig(**(SMALL | settings))))
    put(folder, "modules.json", MODULES)
    put(folder, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    return folder


@pytest.mark.parametrize(("flag", "begins", "ends"), [("eos", [], [EOS]), ("bos", [1], [])])
def test_a_token_that_the_tokenizer_config_wants_is_put_there(
    save: Save, flag: str, begins: list[int], ends: list[int]
) -> None:
    folder = save(tiny("llama"))
    change(folder, "tokenizer_config.json", {f"add_{flag}_token": True})
    tokenizer = config(folder).load_tokenizer()
    assert tokenizer.embedding_prompt("w1 w2") == [*begins, 4, 5, *ends]
    assert tokenizer.pair_prompt("w1", "w2") == ([*begins, 4, 5, *ends], len(begins) + 1)
    assert tokenizer.completion_prompt("w1") == [*begins, 4]


def test_a_token_that_only_one_of_two_files_wants_is_refused(save: Save) -> None:
    from tokenizers.processors import TemplateProcessing

    folder = save(tiny("llama"))
    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", EOS)])
    tokenizer.save_pretrained(folder)
    change(folder, "tokenizer_config.json", {"add_eos_token": False})
    with pytest.raises(ConfigError, match=r"add_eos_token=false, but tokenizer.json puts <eos>"):
        config(folder).load_tokenizer()


@pytest.mark.parametrize("engine", [TransformersConfig, VllmConfig])
def test_texts_are_lowered_as_the_folder_says(save: Save, engine: Engine) -> None:
    folder = encoder(save)
    plain = engine(model=str(folder), max_model_len=64).load_tokenizer().embedding_prompt("W1 w2")
    put(folder, "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True})
    lowered = engine(model=str(folder), max_model_len=64).load_tokenizer().embedding_prompt("W1 w2")
    assert lowered == [4, 5] != plain


@pytest.mark.parametrize("engine", [TransformersConfig, VllmConfig])
def test_longer_texts_than_the_folder_says_are_refused(save: Save, engine: Engine) -> None:
    if engine is VllmConfig:
        pytest.importorskip("vllm")
    folder = encoder(save)
    put(folder, "sentence_bert_config.json", {"max_seq_length": 32})
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=64: .*max_seq_length=32"):
        engine(model=str(folder), max_model_len=64).check("embed")
    engine(model=str(folder), max_model_len=32).check("embed")


@pytest.mark.parametrize(
    ("similarity", "modules", "fits"),
    [("cosine", MODULES[:2], True), ("dot", MODULES, True), ("dot", MODULES[:2], False), ("euclidean", MODULES, False)],
)
def test_vectors_whose_lengths_count_are_refused(save: Save, similarity: str, modules: object, fits: bool) -> None:
    folder = encoder(save)
    put(folder, "modules.json", modules)
    put(folder, "config_sentence_transformers.json", {"similarity_fn_name": similarity})
    if fits:
        return config(folder).check("embed")
    with pytest.raises(ConfigError, match=rf"compared by {similarity} \(similarity_fn_name\)"):
        config(folder).check("embed")
    return None


def test_the_positions_that_can_be_used_are_known_before_loading(save: Save) -> None:
    import transformers

    roberta = save(transformers.RobertaModel(transformers.RobertaConfig(**(SMALL | {"pad_token_id": 1}))), "roberta")
    with pytest.raises(ConfigError, match="reads at most 126 tokens"):
        config(roberta, max_model_len=127, pooling=None).check("embed")
    gpt2 = save(
        transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_head=4))
    )
    with pytest.raises(ConfigError, match="reads at most 32 tokens"):
        config(gpt2).check("generate")


@pytest.mark.parametrize("name", ["generation_config.json", "sentence_bert_config.json", "modeling_own.py"])
def test_every_file_that_changes_results_is_in_the_fingerprint(save: Save, name: str) -> None:
    folder = save(tiny("llama"))
    before = config(folder).identity()
    (folder / name).write_text("{}")
    assert config(folder).identity() != before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"quantization_config": BNB}, "nf4"),
        ({"quantization_config": BNB | {"bnb_4bit_use_double_quant": True}}, "nf4_double"),
        ({"quantization_config": BNB | {"bnb_4bit_quant_type": "fp4"}}, "fp4"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "int8"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "fp8"),
    ],
)
def test_how_a_checkpoint_is_quantised(settings: dict[str, Any], expected: str | None) -> None:
    assert stored(settings) == expected


@pytest.mark.parametrize("ours", [BitsAndBytes.int8, BitsAndBytes.nf4_double])
def test_a_config_that_contradicts_a_quantised_checkpoint_is_refused(save: Save, ours: BitsAndBytes) -> None:
    folder = save(tiny("llama"))
    change(folder, "config.json", {"quantization_config": BNB})
    with pytest.raises(ConfigError, match=rf"engine\.quantization={ours.value}: .*quantised already, as nf4; use"):
        config(folder, quantization=ours).check("label_logprobs")
    for same in (BitsAndBytes.nf4, BitsAndBytes.none):
        config(folder, quantization=same).check("label_logprobs")


def test_a_quantised_checkpoint_is_loaded_as_it_is(save: Save, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    import transformers

    sizes = SMALL | {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    whole = config(save(model), quantization=BitsAndBytes.nf4)
    from lib.engines.checkpoints.heads import Head
    from lib.engines.transformers.loading import load

    loaded = load(Path(whole.model), head=Head.causal, dtype="float32", quantization="nf4", device="cpu",
                  trust_remote_code=False)  # fmt: skip
    folder = save(loaded.model, "quantised")
    engine = config(folder, quantization=BitsAndBytes.nf4)
    engine.check("label_logprobs")
    tokenizer = engine.load_tokenizer()
    prompts, labels = [[5, 6, 7], [9, 8]], [((5,),), ((6, 7),)]
    found = engine.load(tokenizer, "label_logprobs").label_logprobs(prompts, labels)  # type: ignore[attr-defined]
    same = whole.load(tokenizer, "label_logprobs").label_logprobs(prompts, labels)  # type: ignore[attr-defined]
    assert found.values == pytest.approx(same.values, abs=0.02)


def test_vllm_refuses_to_quantise_what_is_quantised_otherwise(save: Save) -> None:
    pytest.importorskip("vllm")
    folder = save(tiny("llama"))
    change(folder, "config.json", {"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(ConfigError, match=r"engine\.quantization=online_int8: .*quantised already, by gptq"):
        VllmConfig(model=str(folder), max_model_len=64, quantization=VllmQuantization.online_int8).check("generate")


def test_vllm_does_not_guess_how_an_encoder_pools(save: Save) -> None:
    pytest.importorskip("vllm")
    folder = encoder(save)
    engine = VllmConfig(model=str(folder), max_model_len=64)
    engine.check("embed")
    put(folder, "modules.json", [*MODULES, {"type": "sentence_transformers.models.Dense"}])
    with pytest.raises(ConfigError, match="asks for Dense"):
        engine.check("embed")
    (folder / "modules.json").unlink()
    with pytest.raises(ConfigError, match=r"has no modules\.json .*vLLM would guess"):
        engine.check("embed")


def test_what_a_processor_lacks_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx avx2\n")
    flags = cpu_flags(tmp_path / "cpuinfo")
    with pytest.raises(ConfigError, match=r"^engine\.model=m: is quantised by awq, and this processor lacks AVX-512"):
        require_cpu_kernel("awq", "m", frozenset({"avx2"}) if flags is None else flags)
    require_cpu_kernel("awq", "m", frozenset({"avx2", "avx512f"}))
    require_cpu_kernel(None, "m", flags)

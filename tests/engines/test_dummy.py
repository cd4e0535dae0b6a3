import subprocess
import sys

import numpy as np
import pytest

from lib.engines.base import EngineConfig
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.types import Sampling, Usage

LABELS = [((65,),), ((66,), (32, 66)), ((228, 1),)]
TOKENIZER = ByteTokenizer()


def prompts(count: int) -> list[list[int]]:
    return [TOKENIZER.completion_prompt(f"battle {n}: 同等?") for n in range(count)]


def test_answers_depend_on_the_request_alone() -> None:
    engine = DummyEngine(DummyConfig())
    together = engine.label_logprobs(prompts(50), LABELS)
    alone = np.concatenate([engine.label_logprobs([prompt], LABELS).values for prompt in prompts(50)])
    np.testing.assert_array_equal(together.values, alone)
    assert len({tuple(row) for row in together.values.tolist()}) == 50
    assert not np.array_equal(
        together.values, DummyEngine(DummyConfig(seed=1)).label_logprobs(prompts(50), LABELS).values
    )


def test_label_logprobs_are_probabilities_of_labels_not_of_places() -> None:
    engine = DummyEngine(DummyConfig())
    values = engine.label_logprobs(prompts(200), LABELS).values
    mass = np.exp(values).sum(axis=1)
    assert values.dtype == np.float32
    assert ((mass > 0) & (mass < 1)).all()
    np.testing.assert_allclose(engine.label_logprobs(prompts(200), LABELS[::-1]).values, values[:, ::-1], rtol=1e-6)
    assert set(values.argmax(axis=1).tolist()) == {0, 1, 2}


def test_scores() -> None:
    answers = DummyEngine(DummyConfig()).score(prompts(500))
    assert answers.values.shape == (500, 1)
    assert abs(float(answers.values.mean())) < 0.3
    assert len(np.unique(answers.values)) == 500


def test_vectors_have_length_one_and_depend_on_the_text_alone() -> None:
    engine = DummyEngine(DummyConfig())
    texts = [TOKENIZER.embedding_prompt(f"text {n}") for n in range(50)]
    together = engine.embed(texts).values
    assert together.shape == (50, 16)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(together, np.concatenate([engine.embed([text]).values for text in texts]))
    assert np.abs(together @ together.T - np.eye(50)).max() < 0.95  # no two alike


WRITING = Sampling(max_tokens=400, temperature=1.0, n=3)


def test_texts_depend_on_prompt_seed_and_sample_alone() -> None:
    engine = DummyEngine(DummyConfig())
    together = engine.generate(prompts(20), WRITING, list(range(20))).texts
    assert [engine.generate([prompt], WRITING, [n]).texts[0] for n, prompt in enumerate(prompts(20))] == together
    assert len({sample.text for samples in together for sample in samples}) == 60
    assert engine.generate(prompts(20), WRITING, [7] * 20).texts[0] != together[0]
    greedy = Sampling(max_tokens=400)
    assert engine.generate(prompts(9), greedy, [1] * 9) == engine.generate(prompts(9), greedy, [2] * 9)
    for samples in together:
        for sample in samples:
            assert sample.finish_reason == "stop"
            assert bytes(sample.tokens[:-1]).decode() == sample.text


def test_texts_end_where_they_should() -> None:
    engine = DummyEngine(DummyConfig(max_model_len=40))
    whole = DummyEngine(DummyConfig()).generate(prompts(30), Sampling(max_tokens=400), [0] * 30).texts
    cut = engine.generate(prompts(30), Sampling(max_tokens=10), [0] * 30).texts
    for (sample,), (text,) in zip(cut, whole, strict=True):
        assert sample.text == text.text[:10]
        assert sample.finish_reason == ("stop" if len(text.text) < 10 else "length")
        assert len(sample.tokens) == min(10, len(text.tokens))
    long = [TOKENIZER.completion_prompt("x" * 39), TOKENIZER.completion_prompt("x" * 36)]
    found = engine.generate(long, Sampling(max_tokens=10), [0, 0])
    assert list(found.errors) == [0]
    assert "leave no room to write: engine.max_model_len=40" in found.errors[0]
    assert len(found.texts[1][0].tokens) == 3


def test_stops_and_choices() -> None:
    engine = DummyEngine(DummyConfig())
    whole = engine.generate(prompts(30), Sampling(max_tokens=400), [0] * 30).texts
    stopped = engine.generate(prompts(30), Sampling(max_tokens=400, stop=["train", "and"]), [0] * 30).texts
    for (sample,), (text,) in zip(stopped, whole, strict=True):
        assert sample.text == text.text.partition("train")[0].partition("and")[0]
    chosen = engine.generate(prompts(50), Sampling(max_tokens=9, choice=["yes", "同等"]), [0] * 50).texts
    assert {sample.text for (sample,) in chosen} == {"yes", "同等"}
    assert {sample.finish_reason for (sample,) in chosen} == {"stop"}
    cut = engine.generate(prompts(9), Sampling(max_tokens=4, choice=["同等"]), [0] * 9).texts
    assert {(sample.text, sample.finish_reason) for (sample,) in cut} == {("同", "length")}


def test_fail_on_marks_texts_too() -> None:
    found = DummyEngine(DummyConfig(fail_on="battle 3: 同")).generate(prompts(5), WRITING, [0] * 5)
    assert list(found.errors) == [3]
    assert [len(samples) for samples in found.texts] == [3, 3, 3, 0, 3]


def test_fail_on_marks_the_rows_that_hold_the_text() -> None:
    answers = DummyEngine(DummyConfig(fail_on="battle 3: 同")).label_logprobs(prompts(5), LABELS)
    assert list(answers.errors) == [3]
    assert np.isnan(answers.values[3]).all()
    assert np.isfinite(np.delete(answers.values, 3, axis=0)).all()


def test_what_it_says_of_itself_follows_from_the_requests() -> None:
    usage = DummyEngine(DummyConfig(fail_on="other")).score([[1, 2, 3], [1, 2, 4, 5], [1, 2], list(b"other")]).usage
    assert (usage.cached_tokens, usage.queued) == (4, 3)  # [1, 2] is read once, and spared twice
    assert DummyEngine(DummyConfig()).score([]).usage == Usage()


def test_exit_on_kills_the_process_without_a_trace() -> None:
    code = (
        "from lib.engines.dummy import DummyConfig, DummyEngine\n"
        "engine = DummyEngine(DummyConfig(exit_on='boom'))\n"
        "assert not engine.score([list(b'fine')]).errors\n"
        "print('before', flush=True)\n"
        "engine.score([list(b'fine'), list(b'a boom b')])\n"
        "print('after', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "before\n", "")


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\n"
        "from lib.engines.dummy import DummyConfig\n"
        "config = DummyConfig()\n"
        "config.check('score')\n"
        "config.load(config.load_tokenizer(), 'score').score([[1]])\n"
        "print(sorted({'torch', 'transformers', 'ray', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_it_answers_all_methods() -> None:
    config: EngineConfig = DummyConfig()
    config.check("label_logprobs")
    assert config.identity() == {}
    assert isinstance(config.load(config.load_tokenizer(), "embed"), DummyEngine)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"seconds_per_request": -1}, "engine.seconds_per_request"),
        ({"exit_on": ""}, "engine.exit_on"),
        ({"fail_on": ""}, "engine.fail_on"),
        ({"max_model_len": 0}, "engine.max_model_len"),
        ({"num_gpus": -1}, "engine.num_gpus"),
    ],
)
def test_bad_values_are_refused(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        DummyConfig(**values)  # type: ignore[arg-type]


def test_texts_end_as_they_are_told() -> None:
    endings = ["Verdict: A", "Verdict: B"]
    found = DummyEngine(DummyConfig(max_model_len=1000, endings=endings)).generate(prompts(20), WRITING, [0] * 20)
    last = {sample.text.splitlines()[-1] for texts in found.texts for sample in texts}
    assert last == set(endings)

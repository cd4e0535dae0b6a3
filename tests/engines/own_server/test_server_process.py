"""How a server of a run's own is started: its command line. What it then answers is in tests/vllm."""

import json
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from lib.engines.own_server.server_process import serving
from lib.errors import ConfigError
from tests.engines.conftest import Save
from tests.engines.vllm.test_vllm_config import random_llama, tiny


def flags(config: Any) -> dict[str, str]:
    words = serving(config).words
    assert words[1:3] == ["-m", "lib.engines.own_server.server_main"]
    return dict(word.removeprefix("--").partition("=")[::2] for word in words[4:])


def test_its_settings_are_those_of_the_engine(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    folder = save(random_llama(LlamaForCausalLM))
    found = flags(tiny(folder, num_gpus=2, tensor_parallel_size=2, extra={"seed_offset": 8}))
    assert found["model"] == str(folder)
    assert found["tensor-parallel-size"] == "2"
    assert found["seed-offset"] == "8"
    assert found["no-enforce-eager"] == ""
    assert json.loads(found["structured-outputs-config"])["backend"] == "xgrammar"
    assert "distributed-executor-backend" not in found
    assert not {"skip-tokenizer-init", "no-skip-tokenizer-init", "runner"} & set(found)


def test_what_is_set_twice_is_refused(save: Save) -> None:
    folder = save(random_llama(LlamaForCausalLM))
    with pytest.raises(ConfigError, match=r"engine\.extra\.dtype: is set by this engine's own fields"):
        serving(tiny(folder, extra={"dtype": "half"}))


def test_in_an_allocation_with_ray_it_takes_the_gpus_of_all_nodes(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    folder = save(random_llama(LlamaForCausalLM))
    found = flags(tiny(folder, num_gpus=16, tensor_parallel_size=8, pipeline_parallel_size=2))
    assert found["distributed-executor-backend"] == "ray"
    assert (found["tensor-parallel-size"], found["pipeline-parallel-size"]) == ("8", "2")
    assert "distributed-executor-backend" not in flags(tiny(folder))  # one device needs no cluster

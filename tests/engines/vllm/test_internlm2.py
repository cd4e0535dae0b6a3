"""InternLM2's reward model in vLLM, against ours."""

import numpy as np

from lib.engines.vllm.vllm_config import VllmConfig
from lib.types import ScoreEngine
from tests.engines.checkpoints.test_internlm2 import TOLERANCE, Build, build, conversations, engine_of, pieces  # noqa: F401


def test_vllm_gives_the_same_scores(build: Build, pieces: bytes) -> None:  # noqa: F811
    """vLLM's own InternLM2ForRewardModel, which shares no more than the config with ours."""
    folder, requests = build(), conversations(pieces)
    config = VllmConfig(model=str(folder), max_model_len=128, kv_cache_memory_bytes=64 << 20)
    engine = config.load(config.load_tokenizer(), "score")
    assert isinstance(engine, ScoreEngine)
    first = engine.score(requests)
    np.testing.assert_allclose(engine_of(folder).score(requests).values, first.values, atol=TOLERANCE, rtol=0)
    again = engine.score(requests)
    assert again.usage.cached_tokens > first.usage.cached_tokens, "beginnings come from the cache"
    np.testing.assert_allclose(again.values, first.values, atol=TOLERANCE, rtol=0)

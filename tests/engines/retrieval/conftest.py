import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.engines.base import EngineConfig
from lib.types import Passage, SearchEngine

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a corpus of texts and return its path. vectors: [n, width]; further columns by name."""

    def corpus(
        texts: Sequence[str | None],
        vectors: npt.NDArray[np.floating] | None = None,
        *,
        name: str = "corpus.parquet",
        row_group_size: int = 7,
        **columns: Any,
    ) -> str:
        data = {"id": pa.array([f"p{n}" for n in range(len(texts))], pa.string()), "text": pa.array(texts, pa.string())}
        if vectors is not None:
            flat = pa.array(vectors.astype(np.float32).reshape(-1))
            data["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        pq.write_table(pa.table(data | columns), tmp_path / name, row_group_size=row_group_size)
        return str(tmp_path / name)

    return corpus


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What is logged, also after a test that has sent our messages to the terminal."""
    monkeypatch.setattr(logging.getLogger("overnight"), "propagate", True)
    caplog.set_level(logging.INFO, "overnight")
    return caplog


def unit(rows: int, width: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random directions."""
    vectors = np.random.default_rng(seed).standard_normal((rows, width))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def load(config: EngineConfig) -> SearchEngine:
    """The engine, as the pipeline loads it."""
    config.check("search")
    engine = config.load(config.load_tokenizer(), "search")
    assert isinstance(engine, SearchEngine)
    return engine


def ids(passages: Sequence[Passage]) -> list[str]:
    return [passage.id for passage in passages]

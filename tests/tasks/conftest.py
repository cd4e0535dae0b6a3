"""What tests of tasks share: the two tokenizers, and battles without a file."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.battles import SCHEMA, BattlesConfig
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.types import BATTLE_TEXTS, Tokenizer
from tests.tasks.tables import keyed

Battle = tuple[Sequence[str | None], Sequence[str | None], Sequence[str | None]]
Rows = Callable[..., pa.Table]


@pytest.fixture(params=["bytes", "smollm2"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One test with each of the tokenizers."""
    return ByteTokenizer() if request.param == "bytes" else request.getfixturevalue("smollm2")


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Make canonical battles of (prompt, response A, response B), each a list of turns."""

    def make(*battles: Battle) -> pa.Table:
        texts = dict(zip(("prompt", "response_a", "response_b"), map(list, zip(*battles, strict=True)), strict=True))
        unknown = {field.name: [None] * len(battles) for field in SCHEMA}
        table = pa.table({**unknown, "row": list(range(len(battles))), **texts}, schema=SCHEMA)
        return keyed(table, BATTLE_TEXTS)

    return make


@pytest.fixture(scope="session")
def real_battles(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The 100 real battles, as a worker reads them."""
    folder = tmp_path_factory.mktemp("run")
    config = BattlesConfig(path=str(shared / "arena_kaggle" / "train_first100.csv"))
    (file,) = take_in(config, folder).inputs
    return keyed(read_rows(file, folder, 0, file.rows, config), config.content)

from pathlib import Path

from lib.data.beside_shards.journal import Journal, forget, journalled_cost


def test_a_reply_is_there_for_the_next_attempt(tmp_path: Path) -> None:
    with Journal(tmp_path, 3) as first:
        assert first.get("a") is None
        first.put("a", "reply\nof two lines", 0.5)
        assert first.get("a") == "reply\nof two lines"
    with Journal(tmp_path, 3) as second:
        assert second.get("a") == "reply\nof two lines"
        second.put("b", "…", 0.25)
    assert journalled_cost(tmp_path) == 0.75
    with Journal(tmp_path, 33) as other:
        assert other.get("a") is None


def test_a_line_that_was_not_written_whole_counts_for_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as first:
        first.put("a", "one", 1.0)
        first.put("b", "two", 1.0)
    (file,) = (tmp_path / "journals").iterdir()
    file.write_bytes(file.read_bytes()[:-4])
    with Journal(tmp_path, 0) as again:
        assert again.get("a") == "one"
        assert again.get("b") is None
        again.put("b", "two", 1.0)
    with Journal(tmp_path, 0) as last:
        assert last.get("b") == "two"
    assert journalled_cost(tmp_path) == 2


def test_a_flipped_bit_is_never_an_answer(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as first:
        first.put("a", '{"choices": [{"logprob": -0.25}]}', 1.0)
        first.put("b", "two", 1.0)
    (file,) = (tmp_path / "journals").iterdir()
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            found = Journal(tmp_path, 0)
            known = [found.get("a"), found.get("b")]
            assert known in ([None, "two"], ['{"choices": [{"logprob": -0.25}]}', None], [None, None])


def test_a_finished_shard_is_forgotten(tmp_path: Path) -> None:
    for shard in (1, 2):
        with Journal(tmp_path, shard) as journal:
            journal.put("a", "one", 1.0)
    forget(tmp_path, 1)
    forget(tmp_path, 7)
    assert [file.name[:14] for file in (tmp_path / "journals").iterdir()] == ["shard-00000002"]


def test_one_that_is_never_written_leaves_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, 1):
        pass
    assert list(tmp_path.iterdir()) == []

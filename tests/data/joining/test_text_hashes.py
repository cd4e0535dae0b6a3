import pyarrow as pa

from lib.data.joining.text_hashes import as_names, list_hashes, text_hashes

TEXTS = ["", "a", "b", "ab", "a\0", "\0", "日本", "12345678", "123456789", "x" * 256, "x" * 257, "x" * 256 + "y"]
PINNED = ["56e9febdcfc93dae", "db2316c0226df511"]  # results keep them


def test_different_texts_have_different_hashes_wherever_they_stand() -> None:
    hashes = text_hashes(pa.array(TEXTS))
    assert len(set(hashes.tolist())) == len(TEXTS)
    again = text_hashes(pa.array(["before", *reversed(TEXTS)]).slice(1))
    assert again.tolist() == hashes[::-1].tolist()


def test_another_seed_gives_other_hashes() -> None:
    assert not set(text_hashes(pa.array(TEXTS)).tolist()) & set(text_hashes(pa.array(TEXTS), 7).tolist())


def test_hashes_are_the_same_in_every_process() -> None:
    assert as_names(text_hashes(pa.array(["a question", "x" * 2000]))).to_pylist() == PINNED


def test_lists_are_told_apart_by_their_texts_and_where_these_end() -> None:
    lists = [["a"], ["a", "a"], ["aa"], ["a", ""], ["", "a"], [""], [], ["b", "a"], ["a", "b"]]
    hashes = list_hashes(pa.array(lists, pa.list_(pa.string())))
    assert len(set(hashes.tolist())) == len(lists)
    again = list_hashes(pa.array([["z"], None, *lists], pa.list_(pa.string())).slice(2))
    assert again.tolist() == hashes.tolist()

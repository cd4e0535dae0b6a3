from lib.engines.decoding.label_tokens import distinct, next_tokens, paths

LABELS = [[(1,), (2,)], [(3, 4, 5), (3, 4, 6, 7)], [(8, 9)]]


def test_a_sequence_that_another_one_begins_is_left_out() -> None:
    assert distinct(((5, 6), (5,), (7,), (5, 6, 7), (7,))) == [(5,), (7,)]
    assert distinct(((5, 6), (5, 7))) == [(5, 6), (5, 7)]


def test_paths_are_the_leaves_of_the_trie_of_prefixes() -> None:
    assert paths(LABELS) == [(3, 4, 6), (8,)]
    assert paths([[(1,)], [(2,)]]) == []


def test_next_tokens_of_a_prefix() -> None:
    assert next_tokens(LABELS, ()) == [1, 2, 3, 8]
    assert next_tokens(LABELS, (3, 4)) == [5, 6]
    assert next_tokens(LABELS, (1,)) == []

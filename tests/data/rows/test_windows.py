from lib.data.rows.windows import merge_windows, window


def test_a_window_has_as_many_sentences_before_as_behind() -> None:
    assert [list(window(hit, 2, 7)) for hit in (0, 1, 3, 6)] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [1, 2, 3, 4, 5],
        [4, 5, 6],
    ]
    assert list(window(4, 0, 7)) == [4]


def test_a_legacy_window_is_the_sources() -> None:
    documents = list(range(9))
    for hit in documents:
        assert list(window(hit, 2, 9, legacy=True)) == documents[max(0, hit - 2) : min(hit + 2, 9)]
    assert list(window(4, 0, 9, legacy=True)) == []


def test_windows_that_share_a_sentence_become_one() -> None:
    windows = [(range(20, 25), 0.5), (range(3, 8), 0.7), (range(6, 11), 0.9), (range(10, 12), 0.1)]
    assert merge_windows(windows) == [(range(3, 12), 0.9), (range(20, 25), 0.5)]
    assert merge_windows(reversed(windows)) == merge_windows(windows)
    assert merge_windows([(range(9), 0.1), (range(2, 4), 0.3)]) == [(range(9), 0.3)]


def test_windows_that_touch_stay_two_and_equals_keep_their_order() -> None:
    assert merge_windows([(range(5, 10), 0.5), (range(5), 0.5)]) == [(range(5), 0.5), (range(5, 10), 0.5)]
    assert merge_windows([]) == []

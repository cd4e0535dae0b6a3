import pyarrow as pa

from lib.data.battle_files.groups import groups_of, groups_of_ids


def test_equal_texts_are_one_group_and_spread_evenly() -> None:
    groups = groups_of_ids(pa.array([str(n) for n in range(5000)]))
    assert len(set(groups.tolist())) == 5000
    shares = [int((groups % 5 == k).sum()) for k in range(5)]
    assert min(shares) > 900
    assert max(shares) < 1100
    turns = pa.table({"prompt": pa.array([["a", "b"], ["ab"], ["a", "b"], None])})
    found = groups_of(turns, "prompt").tolist()
    assert found[0] == found[2]
    assert len(set(found)) == 3

from lib.report.tables import text_table


def test_columns_are_aligned_numbers_to_the_right():
    assert text_table(("", "ours", "uniform"), [("log loss", "1.0", "1.0986"), ("ECE", "10.25", "0")]).splitlines() == [
        "           ours  uniform",
        "log loss    1.0   1.0986",
        "ECE       10.25        0",
    ]


def test_wide_characters_take_two_columns():
    assert text_table(("種類", "n"), [("a", "1")]).splitlines() == ["種類  n", "a     1"]

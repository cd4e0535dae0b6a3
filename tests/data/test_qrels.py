import gzip

import pytest

from lib.data.qrels import read_qrels
from lib.errors import InputError

JUDGED = {"q1": {"d1": 1, "d 2": 0}, "q2": {"d1": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td 2\t0\nq2\td1\t2\n",
        "q1\td1\t1\nq1\td 2\t0\nq2\td1\t2",
        "q1\t0\td1\t1\r\nq1\t0\td 2\t0\r\n\r\nq2\t0\td1\t2\r\n",
        "\ufeffq1\td1\t1\nq1\td 2\t0\nq1\td1\t1\nq2\td1\t2\n",
    ],
)
def test_trec_and_beir_files(tmp_path, text):
    path = tmp_path / "qrels.tsv"
    path.write_bytes(text.encode())
    assert read_qrels(str(path)) == JUDGED


def test_columns_may_be_separated_by_blanks_and_the_file_compressed(tmp_path):
    path = tmp_path / "qrels.txt.gz"
    path.write_bytes(gzip.compress("q1 Q0  文書1   1\nq1 0 d2 -1\n".encode()))
    assert read_qrels(str(path)) == {"q1": {"文書1": 1, "d2": -1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1\td1\t1\nq1\td2\n", "line 2: 2 columns, where the first line has 3"),
        ("q1 d1\n", "line 1: 2 columns; a line is"),
        ("a\tb\tc\td\te\n", "line 1: 5 columns"),
        ("q1\td1\thigh\n", "line 1: the grade 'high' is no whole number"),
        ("q1\td1\t1\n\nq1\td2\t0.5\n", "line 3: the grade '0.5' is no whole number"),
        ("q1\td1\t1\nq1\td1\t2\n", "line 2: query q1, document d1 has the grade 2, before it had 1"),
        ("q1\td1\t1\n\td1\t2\n", "line 2: an empty query"),
        ("q1\td1\t1\nq1\t \t2\n", "line 2: an empty document"),
        ("query-id\tcorpus-id\tscore\n", "no judgements in it"),
        ("", "no judgements in it"),
        (b"q1\td\xff\t1\n", "line 1: not UTF-8"),
        ("q1\td1\tnan\n", "grade 'nan'"),
        ("q1\td1\tinf\n", "grade 'inf'"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "qrels.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as error:
        read_qrels(str(path))
    assert str(error.value).startswith(str(path))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.tsv: cannot be read"):
        read_qrels(str(tmp_path / "nowhere.tsv"))

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        ("q1\td1\t1e300\n", r"line 1: the grade '1e300' is no whole number below 2\*\*31"),
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


class _Half(BaseHTTPRequestHandler):
    """A server of judgements: /refused refuses them, /half stops in the middle."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        content = b"q1\td1\t1\nq1\td 2\t0\nq2\td1\t2\n"
        self.send_response(403 if self.path.startswith("/refused") else 200)
        self.send_header("Content-Length", str(len(content) * (2 if self.path.startswith("/half") else 1)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Half)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_judgements_at_a_url(host):
    assert read_qrels(f"http://user:s3cret@{host}/whole.tsv?key=s3cret") == JUDGED


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:s3cret@{host}/refused.tsv?key=s3cret", r"^http://127.0.0.1:\d+/refused.tsv: cannot be read"),
        ("http://user:s3cret@{host}/half.tsv?key=s3cret", r"^http://127.0.0.1:\d+/half.tsv: cannot be read \(Response"),
        ("foo://user:s3cret@host/x.tsv", r"^qrels=foo://host/x.tsv: cannot be opened \(Protocol not known: foo\)"),
        ("zip://a.tsv::http://user:s3cret@host/x.zip", r"^qrels=zip://host/x.zip: chained URLs are not"),
    ],
)
def test_a_url_that_cannot_be_read_is_said_without_its_secrets(host, url, message):
    with pytest.raises(InputError, match=message) as error:
        read_qrels(url.format(host=host))
    assert "s3cret" not in str(error.value)

import pytest

from lib.urls import is_here, without_secrets


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://user:secret@host:8080/x.jsonl", "http://host:8080/x.jsonl"),
        ("https://host/x.parquet?X-Amz-Signature=secret&b=1#secret", "https://host/x.parquet"),
        ("s3://KEY:secret@bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("http://user:sec/ret@host/x", "http://host/x"),
        ("http://user:sec?ret@host/x", "http://host/x"),
        ("http://secret@host", "http://host"),
        ("'http://u:secret@h/x' and https://h/y?secret, read", "'http://h/x' and https://h/y, read"),
        ("https://h/y?secret: no such file", "https://h/y: no such file"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://host:80/a:b@c", "http://host:80/a:b@c"),
        ("file:///a?b#c.csv", "file:///a?b#c.csv"),
        ("/data/q?.csv", "/data/q?.csv"),
        ("no URL: a@b?c", "no URL: a@b?c"),
    ],
)
def test_a_url_is_shown_as_scheme_host_and_path(given: str, shown: str) -> None:
    assert without_secrets(given) == shown


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:80/v1", True),
        ("http://localhost:8000", True),
        ("http://localhost.example.org/v1", False),
        ("https://api.example.org/v1", False),
        ("http://10.0.0.1:8000/v1", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert is_here(url) is here

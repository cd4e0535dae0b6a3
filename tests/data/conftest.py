"""An object store: a local S3 server, to which fsspec's s3:// leads."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.running import ROOT

Store = Callable[..., Any]


@contextmanager
def _running(puts: int) -> Iterator[str]:
    line = [sys.executable, "-m", "tests.data.s3_server", str(puts)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@pytest.fixture(scope="session")
def _lasting() -> Iterator[str]:
    with _running(-1) as address:
        yield address


@pytest.fixture
def object_store(_lasting: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Let s3:// lead to a server, and make a bucket there; its client. puts: objects after which a new server dies."""
    import boto3
    import s3fs

    with ExitStack() as stack:

        def enter(bucket: str, puts: int | None = None) -> Any:
            address = _lasting if puts is None else stack.enter_context(_running(puts))
            keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "us-east-1"}
            for name, value in {**keys, "AWS_ENDPOINT_URL": address, "AWS_MAX_ATTEMPTS": "1"}.items():
                monkeypatch.setenv(name, value)
            s3fs.S3FileSystem.clear_instance_cache()
            client = boto3.client("s3")
            client.create_bucket(Bucket=bucket)
            return client

        yield enter
        s3fs.S3FileSystem.clear_instance_cache()

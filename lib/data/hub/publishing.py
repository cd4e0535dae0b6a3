"""A finished run, published as a data set on the Hugging Face hub: in one commit, or in none where it is there."""

import hashlib
import io
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lib.data.hub.card import card
from lib.data.hub.publish_config import PublishConfig
from lib.data.manifest import Manifest, read_manifest
from lib.data.run_folder import (
    COMPLETE,
    FAILURES,
    METRICS,
    OPENAI_ERRORS,
    OPENAI_OUTPUT,
    REPORT,
    RESULT,
    SUBMISSION,
    read_config,
)
from lib.errors import ConfigError, DeliveryError
from lib.log import log
from lib.urls import reason

_README = "README.md"
_PUBLISHED = (RESULT, FAILURES, SUBMISSION, OPENAI_OUTPUT, OPENAI_ERRORS, METRICS, REPORT)
_KIND = "dataset"


def require_publishable(config: PublishConfig) -> None:
    """Raise ConfigError where this user can't publish to `publish.repo`, or where something else lies there."""
    if config.repo is None:
        return
    shown = f"publish.repo={config.repo}"
    from huggingface_hub import get_token

    if get_token() is None:
        raise ConfigError(f"{shown}: the hub must know you: log in with `hf auth login`, or set HF_TOKEN")
    try:
        me = _api().whoami()
        owners = [me["name"], *(org["name"] for org in me.get("orgs", []))]
        there = _files(config.repo)
    except Exception as error:  # of the hub, of the network, of what lies between
        raise ConfigError(
            f"{shown}: the hub can't be asked ({_reason(error)}); mend that, or leave publish=hub out, and publish "
            "with jobs.merge when the run is done"
        ) from error
    owner = config.repo.partition("/")[0]
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ConfigError(
            f"{shown}: your token may read only; give one that may write, as HF_TOKEN or to `hf auth login`"
        )
    if owner not in owners:
        raise ConfigError(f"{shown}: your token is of {', '.join(owners)}, not of {owner}")
    if COMPLETE not in there and (others := sorted(set(there) - {".gitattributes"})):
        raise ConfigError(f"{shown}: holds something else ({others[0]}), which is not replaced; give another name")


def publish(folder: Path, config: PublishConfig) -> None:
    """Publish a finished run, and print so; what the data set held of another run is replaced (its history keeps it).

    Raises DeliveryError where the run's own `run.max_error_rate` does not allow it, or where the hub refuses; the
    message has the line that tries again and computes nothing.
    """
    if config.repo is None:
        return
    manifest = read_manifest(folder)
    with _told(folder, config):
        _require_sound(folder, manifest)
        readme = card(folder, manifest, config).encode()
        files: dict[str, Path | bytes] = {name: folder / name for name in _PUBLISHED if (folder / name).exists()}
        files[_README] = readme
        complete = _complete(manifest, files)
        before = _files(config.repo)
        if before.get(COMPLETE) == complete:
            print(f"published:  {config.repo} ({len(files)} files, as before: no new commit)")
            return
        url = _commit(config, files | {COMPLETE: complete}, before, f"jobs.{manifest.job} {manifest.fingerprint[:8]}")
    print(f"published:  {config.repo} ({len(files)} files, {url})")


def _commit(config: PublishConfig, files: dict[str, Path | bytes], before: dict[str, bytes | None], title: str) -> str:
    """Put these files in place of those of ours that are there; the commit's URL."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.utils.tqdm import disable_progress_bars

    assert config.repo is not None
    if not sys.stderr.isatty():
        disable_progress_bars()
    api = _api()
    if before.get(COMPLETE) is not None:
        log.info("%s: holds an earlier result, which is replaced", config.repo)
    elif not before:
        api.create_repo(config.repo, repo_type=_KIND, private=config.private, exist_ok=True)
    gone = [name for name in _PUBLISHED if name in before and name not in files]
    operations = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()),
        *(CommitOperationDelete(path_in_repo=name) for name in gone),
    ]
    return str(api.create_commit(config.repo, operations, commit_message=title, repo_type=_KIND).commit_url)


def _files(repo: str) -> dict[str, bytes | None]:
    """The files of a data set by name, with the content of COMPLETE.json alone; none where it is not there."""
    from huggingface_hub import HfFileSystem
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        names = _api().list_repo_files(repo, repo_type=_KIND)
    except RepositoryNotFoundError:
        return {}
    found: dict[str, bytes | None] = dict.fromkeys(names)
    if COMPLETE in found:
        fs = HfFileSystem(skip_instance_cache=True)
        found[COMPLETE] = fs.cat_file(f"datasets/{repo}/{COMPLETE}")
    return found


def _complete(manifest: Manifest, files: dict[str, Path | bytes]) -> bytes:
    """What is published, as in a copy at `run.out`: names, sizes and hashes."""
    listed = []
    for name, content in files.items():
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            listed.append({"name": name, "size": file.seek(0, io.SEEK_END), "sha256": digest})
    about = {"job": manifest.job, "fingerprint": manifest.fingerprint, "files": listed}
    return (json.dumps(about, indent=1) + "\n").encode()


def _require_sound(folder: Path, manifest: Manifest) -> None:
    """Raise OSError where more rows failed than the run's own config allows."""
    failed, allowed = pq.read_metadata(folder / FAILURES).num_rows, read_config(folder)["run"]["max_error_rate"]
    if failed > allowed * manifest.rows:
        raise OSError(
            f"{failed} of {manifest.rows} rows failed, more than the run's run.max_error_rate={allowed:g} allows: a "
            "run that failed is not published"
        )


@contextmanager
def _told(folder: Path, config: PublishConfig) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # as above
        words = [f"run.dir={folder}", "publish=hub", f"publish.repo={config.repo}"]
        words += [] if config.private else ["publish.private=false"]
        words += [] if config.license is None else [f"publish.license={config.license}"]
        raise DeliveryError(
            f"publish.repo={config.repo}: cannot be published ({_reason(error)}). The run itself is complete in "
            f"{folder}: when that is mended, this line publishes it, and computes nothing:\n"
            f"  python -m jobs.merge {shlex.join(words)}"
        ) from error


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi()


def _reason(error: Exception) -> str:
    """The hub's own words, in a line: what the server says, where it says something."""
    said = getattr(error, "server_message", None) or reason(error)
    return " ".join(str(said).split())

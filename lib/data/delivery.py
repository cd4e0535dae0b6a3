"""A finished run, copied to where `run.out` says: an object store or a folder, through fsspec, and checked there."""

import hashlib
import json
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any, BinaryIO

from lib.data.atomic import atomic_path
from lib.data.manifest import read_manifest
from lib.data.run_folder import COMPLETE, DELIVERED, MANIFEST, SHARDS
from lib.errors import ConfigError, DeliveryError
from lib.file_systems import file_system, is_local
from lib.log import log
from lib.urls import reason, without_secrets

_BLOCK_BYTES = 8 << 20


def require_writable(out: str | None, run_dir: str | None) -> None:
    """Raise ConfigError where files can't be written, read and deleted at `out`: tried with a small one.

    out: a folder, or a URL; None: nothing is to be copied. run_dir: of the run, which `out` must not be.
    """
    if out is None:
        return
    shown = f"run.out={without_secrets(out)}"
    if not out or "::" in out:
        raise ConfigError(f"{shown}: must be a folder or the URL of one place, as s3://bucket/folder; or leave it out")
    try:
        fs, root = file_system(out)
        if is_local(fs):
            _require_no_run(Path(root), run_dir, shown)
        with tempfile.NamedTemporaryFile() as probe:
            probe.write(b"overnight\n")
            probe.flush()
            name = f"{root}/.writable-{uuid.uuid4().hex}"
            _copy(fs, Path(probe.name), name)
            fs.rm_file(name)
    except ConfigError:
        raise
    except Exception as error:  # each file system has errors of its own (credentials, network, a missing package)
        raise ConfigError(
            f"{shown}: cannot be used ({reason(error)}); give a place where files may be written, read and deleted, or "
            "leave it out and copy the result afterwards"
        ) from error


def copy_out(folder: Path, out: str | None) -> None:
    """Copy what is finished in a run folder to `out`, check each file there by size and SHA-256, and print so.

    A file there has its name only when it is whole: object stores put atomically, in folders it is written beside and
    renamed (SFTP and its like can't do either). COMPLETE.json comes last; what stood there of another run is replaced.

    out: as of `require_writable`. Raises DeliveryError.
    """
    if out is None:
        return
    manifest = read_manifest(folder)
    shown, doing = without_secrets(out), COMPLETE
    done: list[dict[str, Any]] = []
    try:
        fs, root = file_system(out)
        _withdraw(fs, root, shown, manifest.fingerprint)
        for doing in DELIVERED:
            if (folder / doing).exists():
                size, sha256 = _copy(fs, folder / doing, f"{root}/{doing}")
                done.append({"name": doing, "size": size, "sha256": sha256})
            elif fs.exists(f"{root}/{doing}"):
                fs.rm_file(f"{root}/{doing}")  # of another run
        doing = COMPLETE
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            json.dump({"job": manifest.job, "fingerprint": manifest.fingerprint, "files": done}, file, indent=1)
            file.flush()
            _copy(fs, Path(file.name), f"{root}/{COMPLETE}")
    except Exception as error:  # as above
        raise DeliveryError(
            f"run.out={shown}: {doing} cannot be copied there ({reason(error)}). The run itself is complete in "
            f"{folder}: when that is mended, the same line copies again, and computes nothing"
        ) from error
    size = sum(file["size"] for file in done)
    print(f"copy:       {shown} ({len(done)} files, {size:,} bytes, checked)")


def _require_no_run(place: Path, run_dir: str | None, shown: str) -> None:
    """Raise ConfigError for a run folder, this run's own one before all."""
    own = run_dir is not None and Path(run_dir).resolve() == place.resolve()
    if own or ((place / MANIFEST).exists() and (place / SHARDS).exists()):
        raise ConfigError(f"{shown}: is {'the' if own else 'a'} run folder; give another one, or leave it out")


def _withdraw(fs: Any, root: str, shown: str, fingerprint: str) -> None:
    """Take COMPLETE.json away while files are replaced, and say so where they are another run's."""
    fs.invalidate_cache()
    if not fs.exists(f"{root}/{COMPLETE}"):
        return
    if fingerprint.encode() not in fs.cat_file(f"{root}/{COMPLETE}"):
        log.warning("%s: holds the result of another run, which is replaced", shown)
    fs.rm_file(f"{root}/{COMPLETE}")


def _copy(fs: Any, file: Path, target: str) -> tuple[int, str]:
    """Copy a file and read it back; its size and SHA-256. Raises OSError where another one is read there."""
    with file.open("rb") as source:
        sent = _measured(source)
    if is_local(fs):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(target)) as temporary:
            shutil.copyfile(file, temporary)
    else:
        fs.put_file(str(file), target)
    with fs.open(target, "rb", block_size=_BLOCK_BYTES) as there:
        found = _measured(there)
    if found != sent:
        raise OSError(f"{found[0]} bytes of SHA-256 {found[1][:8]} are there, {sent[0]} of {sent[1][:8]} were sent")
    return sent


def _measured(file: BinaryIO) -> tuple[int, str]:
    """Size and SHA-256 of what is left to be read."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()

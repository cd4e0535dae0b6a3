"""A store on an object store: it is read from a copy here, and what is new is put there first."""

import errno
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib.data.atomic import atomic_path
from lib.errors import StoreError
from lib.file_systems import file_system
from lib.log import log
from lib.urls import reason, without_secrets

_PUTTING = "putting-"  # folders of files that are on their way
PUTTING = (f"{_PUTTING}????????",)
"""Those that killed processes leave, as a pattern for `remove_leftovers`."""
_KINDS = (".parquet", ".json")
_PROBE = ".writable"  # one for all runs: who may write need not be allowed to delete
_AT_ONCE = 8  # files that are fetched
_MOST_LOOKS = 100  # at a folder in which segments are compacted all the time
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Mirror:
    """A folder of a store behind a URL, and one here that has copies of its files: a cache, which may be deleted.

    A file there is never changed, and no other gets its name, so that a copy by that name is as good as the file. The
    few that could be changed are fetched each time (`fetch`).

    url: of the store, with what it takes to open it. path: of this folder below it, "" or with a slash first.
    Methods raise OSError, with a `strerror`, for what can't be done there, and StoreError where nothing can be written
    here.
    """

    url: str = field(repr=False)
    folder: Path
    path: str = ""

    @property
    def store(self) -> str:
        """The store's URL as it may be shown."""
        return without_secrets(self.url).rstrip("/")

    @property
    def name(self) -> str:
        """This folder's URL as it may be shown."""
        return self.store + self.path

    def below(self, name: str) -> "Mirror":
        """A folder in this one."""
        return Mirror(self.url, self.folder / name, f"{self.path}/{name}")

    def listing(self) -> dict[str, int | None]:
        """What is there now, by name: the bytes of a file, None for a folder. Nothing where there is no such folder."""
        with _reached():
            fs, root = self._there()
            fs.invalidate_cache()  # others add and remove, too
            try:
                found = fs.ls(root, detail=True)
            except FileNotFoundError:
                return {}
            sizes = {
                each["name"].rstrip("/").rpartition("/")[2]: None if each["type"] == "directory" else int(each["size"])
                for each in found
                if each["name"].strip("/") != root.strip("/")  # an object may be called as the folder is
            }
        return {name: size for name, size in sizes.items() if name not in ("", ".", "..")}

    def require_writable(self) -> None:
        """Raise OSError where no file can be put there."""
        with self._new_folder() as place:
            (place / _PROBE).touch()
            self._put(place / _PROBE)

    def fetch(self, name: str) -> bool:
        """Fetch a file as it is now; whether it is there. One that isn't goes here, too."""
        self._make_folder()
        error = self._fetched(name)
        if isinstance(error, FileNotFoundError):
            (self.folder / name).unlink(missing_ok=True)
        elif error is not None:
            raise error
        return error is None

    def refresh(self) -> None:
        """Fetch the files that are there and not here, and remove those here that are gone there.

        One that can't be fetched is named in the log and left out, as long as the store itself can be reached.
        """
        self._make_folder()
        here = self._here()  # before the listing: what another process puts meanwhile must not be taken for gone
        tried, count, size = set[str](), 0, 0
        for _ in range(_MOST_LOOKS):
            there = {name: bytes for name, bytes in self.listing().items() if bytes is not None and _is_ours(name)}
            fresh = [name for name in there if name not in here and name not in tried]
            tried.update(fresh)
            errors = self._fetch_all(fresh, there)
            for name, error in errors.items():
                if not isinstance(error, FileNotFoundError):
                    log.warning("%s/%s: cannot be fetched (%s); it is left out", self.name, name, error.strerror)
            got = [name for name in fresh if name not in errors]
            count, size = count + len(got), size + sum(there[name] for name in got)
            if not errors:  # else some were compacted meanwhile, or nothing can be reached any more
                break
        for name in here - there.keys():
            (self.folder / name).unlink(missing_ok=True)
        if count:
            log.info("%s: %s new files (%.1f MB) were copied to %s", self.name, f"{count:,}", size / 1e6, self.folder)

    @contextmanager
    def adding(self, instead_of: Collection[str] = ()) -> Iterator[Path]:
        """Yield a folder; the files in it are put there at the end, all or none, and are then here, too.

        instead_of: names of files that must still be there then; else FileNotFoundError, and nothing is put.
        """
        with self._new_folder() as place:
            yield place
            files = sorted(place.iterdir())
            if instead_of and not self.listing().keys() >= set(instead_of):
                raise FileNotFoundError(errno.ENOENT, "files were removed by another job meanwhile")
            try:
                for file in files:
                    self._put(file)
            except OSError:
                with suppress(OSError):
                    self.remove(file.name for file in files)
                raise
            for file in files:
                file.replace(self.folder / file.name)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files there, and here."""
        for name in names:
            with suppress(FileNotFoundError), _reached():
                fs, root = self._there()
                fs.rm_file(f"{root}/{name}")
            (self.folder / name).unlink(missing_ok=True)

    def _there(self) -> tuple[Any, str]:
        """The file system, and the folder on it. Workers get no connection, but the URL."""
        fs, root = file_system(self.url)
        return fs, root.rstrip("/") + self.path

    def _here(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if _is_ours(path.name)}

    def _put(self, file: Path) -> None:
        """Put a file there, which object stores do whole or not at all."""
        with _reached():
            fs, root = self._there()
            fs.put_file(str(file), f"{root}/{file.name}")
            fs.invalidate_cache()
            size = fs.info(f"{root}/{file.name}")["size"]
        if size != file.stat().st_size:
            raise OSError(errno.EIO, f"{size} bytes are there, {file.stat().st_size} were sent")

    def _fetch_all(self, names: Collection[str], sizes: dict[str, int]) -> dict[str, OSError]:
        """Fetch files, and return those that could not be, with the reasons."""
        if not names:
            return {}
        with _reached():
            fs, _ = self._there()
        pool = ThreadPoolExecutor(_AT_ONCE if fs.async_impl else 1)  # the others' connections are for one thread
        try:
            errors = list(pool.map(lambda name: self._fetched(name, sizes[name]), names))
        finally:
            pool.shutdown(cancel_futures=True)
        return {name: error for name, error in zip(names, errors, strict=True) if error is not None}

    def _fetched(self, name: str, size: int | None = None) -> OSError | None:
        """Fetch a file of so many bytes; why it could not be."""
        try:
            with atomic_path(self.folder / name) as temporary:
                with _reached():
                    fs, root = self._there()
                    fs.get_file(f"{root}/{name}", str(temporary))
                if size not in (None, temporary.stat().st_size):
                    raise OSError(errno.EIO, f"{temporary.stat().st_size} of {size} bytes came")
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise self._unwritable(error) from error
            return error
        return None

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        self._make_folder()
        with TemporaryDirectory(prefix=_PUTTING, dir=self.folder, ignore_cleanup_errors=True) as place:
            yield Path(place)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a bucket may be closed to others
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"store.dir={self.store}: its copy in {self.folder} cannot be written ({error.strerror or error}); make "
            "room, or set XDG_CACHE_HOME to another folder"
        )


def _is_ours(name: str) -> bool:
    return name.endswith(_KINDS) and not name.startswith(".")


@contextmanager
def _reached() -> Iterator[None]:
    """Turn what a file system raises into OSError: each has errors of its own (credentials, network, no package)."""
    try:
        yield
    except Exception as error:
        missing = errno.ENOENT if isinstance(error, FileNotFoundError) else None
        raise OSError(getattr(error, "errno", None) or missing, reason(error)) from error

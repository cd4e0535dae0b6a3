from pathlib import Path

from lib.engines.files.content_hash import FULL_HASH_BYTES, content_hash


def test_large_files_are_sampled(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    size = FULL_HASH_BYTES + 1
    with path.open("wb") as file:
        file.truncate(size)
    hashes = {content_hash(path)}
    for position in (0, size - 1):  # the first and the last byte are always in a sample
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"x")
        hashes.add(content_hash(path))
    with path.open("r+b") as file:
        file.truncate(size + 1)
    hashes.add(content_hash(path))
    assert len(hashes) == 4

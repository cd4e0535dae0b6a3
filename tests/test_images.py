"""Reading images: what is taken, from where, and what is refused and why."""

import os
from pathlib import Path

import pytest

from lib.data.image_files import contents_hash
from lib.images import ImagePrompt, images_of, read_image, read_reference
from lib.types import Message
from tests.pictures import data_url, picture

PNG = picture(1)


def test_a_data_url_and_a_file_are_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "a photo.png"
    file.write_bytes(PNG)
    image = read_image(data_url(PNG))
    assert (image.content, image.kind, image.size, image.url) == (PNG, "png", (30, 40), data_url(PNG))
    names = [
        "below/a photo.png",
        "below/../below/a photo.png",
        str(file),
        file.as_uri(),
        f"file://localhost{file.as_uri()[7:]}",
    ]
    assert [read_reference(name, tmp_path) for name in [*names, image.url]] == [image] * (len(names) + 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_what_an_image_is_its_bytes_say(kind: str) -> None:
    image = read_image(data_url(picture(2, kind=kind), "whatever"))
    assert image.kind == kind.lower()
    assert image.url.startswith(f"data:image/{kind.lower()};base64,")


def test_a_photo_that_was_held_upright_is_as_high_as_it_is_shown() -> None:
    assert read_image(data_url(picture(1, (60, 20), "JPEG"))).size == (20, 60)
    assert read_image(data_url(picture(1, (60, 20), "JPEG", turned=True))).size == (60, 20)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/a.png", "image https://example.org/a.png: must be a data: URL"),
        ("photo.png", "files are read where data.image_root names their folder"),
        ("data:image/png,abc", "must begin with data:image/…;base64,"),
        ("data:text/plain;base64,aGk=", "must begin with data:image/…;base64,"),
        ("data:image/png;base64,aGk", "is no base64"),
        ("data:image/png;base64,a GkÃ", "is no base64"),
        (data_url(b"<svg></svg>"), "is no image of a known format; known are PNG, JPEG, WebP and GIF"),
        (data_url(PNG[:20]), "no PNG that can be read"),
        (data_url(PNG[:16] + b"\0\0\xff\xff" * 2 + PNG[24:]), "no PNG that can be read"),  # its checksum is wrong
    ],
)
def test_what_is_no_image_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as found:
        read_image(url)
    assert " at 0x" not in str(found.value)  # the same in every run


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr("lib.images._MOST_PIXELS", 1199)
    with pytest.raises(ValueError, match="40x30 pixels, of which at most 1,199 are taken"):
        read_image(data_url(PNG))
    monkeypatch.setattr("lib.images._MOST_BYTES", len(PNG) - 1)
    for read in (lambda: read_image(data_url(PNG)), lambda: read_reference("a.png", tmp_path)):
        with pytest.raises(ValueError, match=f"{len(PNG):,} bytes, of which at most"):
            read()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "cannot be read .No such file or directory."),
        ("folder", "is no file"),
        ("pipe.png", "is no file"),
        ("loop.png", "is a link that leads nowhere"),
        ("file:a%00.png", "is no path"),
        ("file://[x", "is no URL"),
        ("../outside.png", "lies outside of"),
        ("link.png", "lies outside of"),
        ("/etc/hostname", "lies outside of"),
        ("file:///etc/hostname", "lies outside of"),
        ("http://example.org/a.png", "nothing is fetched from elsewhere"),
        ("s3://bucket/a.png", "nothing is fetched from elsewhere"),
        ("file://host/a.png", "nothing is fetched from elsewhere"),
        ("", "is no path"),
        ("a\0b", "is no path"),
        ("text.png", "is no image of a known format"),
    ],
)
def test_files_are_read_below_their_folder_alone(name: str, said: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(PNG)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "text.png").write_text("hello")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    assert contents_hash([(name, root)]) == contents_hash([(name, root)])
    with pytest.raises(ValueError, match=said):
        read_reference(name, root)


def test_images_are_found_in_turns_and_stay_with_a_prompt() -> None:
    one, other = read_image(data_url(PNG)), read_image(data_url(picture(2)))
    turns = [Message(role="user", content="a", parts=[one, "a", other]), Message(role="user", content="b")]
    assert images_of(turns) == [one, other]
    prompt = ImagePrompt([1, 5, 5, 2], [1, 5, 2], [one])
    longer = prompt.followed([3])
    assert (list(longer), longer.written, longer.images) == ([1, 5, 5, 2, 3], [1, 5, 2, 3], [one])

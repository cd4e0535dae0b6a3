"""README.ja.md says what README.md says: its commands are run where that one's are, and its words are the same."""

import re

from tests.running import ROOT

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
JAPANESE = (ROOT / "README.ja.md").read_text(encoding="utf-8")


def test_every_command_is_one_of_the_english_readme() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", JAPANESE, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    in_text = re.findall(r"`((?:make |\.venv/bin/)[^`]+)`", JAPANESE)
    assert len(lines) > 15
    assert [line for line in lines if f"\n{line}\n" not in ENGLISH] == []
    assert [command for command in in_text if command not in ENGLISH] == []


def test_words_exit_codes_and_keys_are_the_same() -> None:
    table = ENGLISH.partition("## Words")[2].partition("\n## ")[0]
    words = re.findall(r"^\| (\*\*.+?\*\*) \|", table, re.MULTILINE)
    assert len(words) > 15
    assert [word for word in words if f"| {word} |" not in JAPANESE] == []
    codes = re.findall(r"^\| ([\d, ]+) \|", ENGLISH, re.MULTILINE)
    assert [code for code in codes if f"| {code} |" not in JAPANESE] == []
    keys = re.findall(r"^\| `('?cluster\.[^`]+)` \|", JAPANESE, re.MULTILINE)
    assert keys
    assert [key for key in keys if f"`{key}`" not in ENGLISH] == []


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", ENGLISH, re.MULTILINE)
    }
    links = re.findall(r"\]\(README\.md(?:#([^)]+))?\)", JAPANESE)
    assert len(links) > 5
    assert {link for link in links if link} <= headings

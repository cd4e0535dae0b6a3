"""Repair of text that Unicode does not allow."""

import re

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")


def repair(text: str) -> tuple[str, int]:
    r"""Text without surrogates, and how many lone ones were replaced by U+FFFD.

    JSON may escape half a character ("\ud83d", from text cut between UTF-16 units); neither UTF-8 nor Arrow can
    hold that. Halves that stand together are joined to the character they encode, which loses nothing.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        joined = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        return _LONE.subn("\N{REPLACEMENT CHARACTER}", joined)
    return text, 0

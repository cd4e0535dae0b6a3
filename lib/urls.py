"""URLs without what nobody else should read: user, password, and query (which may be a signature or a key)."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s'\"<>`]+)")
_OTHERS = ("file://", "local://")  # paths, in which ? and # are characters as others
_PAUSES = ":;,"  # of the sentence that a URL stands in
_USER = re.compile(r"[^/?#]*@|[^/?#@]*:(?!\d+([/?#]|$)).*@")  # the second where a password has a / or ? in it


def without_secrets(text: str) -> str:
    """The text with scheme://host/path only of each URL in it."""
    return _URL.sub(_public, text) if "://" in text else text


def is_here(url: str) -> bool:
    """Whether a URL names this machine, for which no proxy is asked."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reason(error: Exception) -> str:
    """What an error says, in one line, without secrets. Each file system behind a URL has errors of its own."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return without_secrets(said).replace("\n", " ")


def _public(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    if scheme.lower() in _OTHERS:
        return url[0]
    place, *secret = re.split("[?#]", _USER.sub("", rest, count=1) if _USER.match(rest) else rest, maxsplit=1)
    return scheme + place + (rest[len(rest.rstrip(_PAUSES)) :] if secret else "")

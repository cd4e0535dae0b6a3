"""Telling somebody: a command from a config, with the summary of a run put into its arguments."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lib.errors import ClusterError, ConfigError
from lib.urls import without_secrets

_PLACE = "{summary}"
_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class NotifyConfig:
    """command: a program and its arguments, in which {summary} stands for the summary. No shell reads it.

    post: whether the summary is posted as JSON, {"text": …}, to a chat's webhook. Neither: nobody is told.
    to: an address that the command may refer to, or the URL of the webhook, which is a secret: it is never shown.
    """

    to: str | None = None
    command: list[str] = field(default_factory=list)
    post: bool = False

    def __post_init__(self) -> None:
        if self.to == "":
            raise ConfigError("notify.to: must be given, as in notify.to=you@example.org")
        if self.command and not any(_PLACE in word for word in self.command):
            raise ConfigError(f"notify.command: has no {_PLACE}, so it would tell nothing")
        if self.post and self.command:
            raise ConfigError("notify.post=true: posts to notify.to, so notify.command has no effect; leave one out")
        if self.post and (self.to is None or not re.match(r"https?://[^/\s]+", self.to)):
            raise ConfigError(
                "notify.to: must be the URL of the webhook, https://…; give it in the variable OVERNIGHT_WEBHOOK, "
                "which no list of processes shows"
            )


def notify(config: NotifyConfig, summary: str) -> None:
    """Run the command, or post the summary. Raises ClusterError where that fails."""
    if config.post:
        assert config.to is not None
        _post(config.to, summary)
        return
    words: Sequence[str] = [word.replace(_PLACE, summary) for word in config.command]
    if not words:
        return
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"notify.command: {words[0]} takes more than {_SECONDS} s") from None
    except OSError as error:
        raise ClusterError(f"notify.command: {error}") from error
    if done.returncode:
        said = done.stderr.strip()[-300:]
        said = without_secrets(said if config.to is None else said.replace(config.to, "notify.to"))
        raise ClusterError(f"notify.command: {words[0]} exits with {done.returncode}: {said}")


def _post(url: str, summary: str) -> None:
    import http.client
    import urllib.error
    import urllib.request

    host = urlsplit(url).hostname
    try:
        body = json.dumps({"text": summary}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise ClusterError(f"notify.to: {host} answers with HTTP status {error.code}") from None
    except urllib.error.URLError as error:
        raise ClusterError(f"notify.to: {host} can't be reached ({error.reason})") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ClusterError(f"notify.to: {host} can't be told ({type(error).__name__})") from None

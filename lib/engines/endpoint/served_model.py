"""What a server tells of the model that it serves."""

import json
import time
from typing import Any

from lib.engines.endpoint.tries import Busy, Faulty, Good, Outcome, Refused, outcome
from lib.errors import ConfigError
from lib.urls import is_here

_KEPT = ("id", "root", "owned_by", "max_model_len")
_TIMEOUT, _TRIES = 20.0, 4


def served_model(url: str, model: str, key: str | None, key_variable: str | None) -> dict[str, Any]:
    """What /models says of a model, without times and permissions; nothing where the server has no such list.

    Raises ConfigError where no server answers, or it refuses the key.
    """
    came: Outcome = Busy("")
    for number in range(_TRIES):
        time.sleep(0.5 * number)
        came = _look(url, key, key_variable)
        if not isinstance(came, Busy | Faulty):
            break
    if isinstance(came, Refused):  # it has no list
        return {}
    if not isinstance(came, Good):
        raise ConfigError(f"engine.url={url}: {came.why}")
    listed = came.reply.get("data")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    found = next((entry for entry in entries if entry.get("id") == model), {})
    return {name: found[name] for name in _KEPT if found.get(name) is not None}


def _look(url: str, key: str | None, key_variable: str | None) -> Outcome:
    import httpx

    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        response = httpx.get(f"{url}/models", headers=headers, timeout=_TIMEOUT, trust_env=not is_here(url))
    except (httpx.TransportError, httpx.DecodingError) as error:
        return Busy(f"no server answers there ({str(error) or type(error).__name__}); start it, or mend the address")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ConfigError(f"engine.url={url}: {error}") from error
    if response.status_code in (404, 405, 501):
        return Refused("no list of models")
    text = response.text.replace(key, "…") if key else response.text
    return outcome(response.status_code, response.headers, text, key_variable=key_variable, now=time.time())


def as_identity(told: dict[str, Any]) -> dict[str, str]:
    """The same for a fingerprint."""
    return {"served": json.dumps(told, sort_keys=True)} if told else {}

"""A hub on this machine, to which huggingface_hub leads."""

from collections.abc import Iterator

import pytest

from tests.hub_server import TOKEN, Hub, hub


@pytest.fixture
def the_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, whose user "me" is logged in."""
    from huggingface_hub import HfFileSystem, constants

    with hub() as found:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        place = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        here = {"ENDPOINT": found.url, "HUGGINGFACE_CO_URL_TEMPLATE": place}
        for name, value in {**here, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
            monkeypatch.setattr(constants, name, value)
        HfFileSystem.clear_instance_cache()
        yield found
        HfFileSystem.clear_instance_cache()

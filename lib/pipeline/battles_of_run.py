"""How a run of battles has read its input, by the config that lies in its folder."""

from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.data.rows.battles import BattlesConfig
from lib.data.rows.conversations import ConversationsConfig
from lib.data.run_folder import CONFIG, read_config
from lib.errors import RunFolderError


def battles_of(folder: Path) -> BattlesConfig:
    """Raises RunFolderError where its config can't be read so. That of conversations alone names winners."""
    found = read_config(folder).get("data")
    kind = ConversationsConfig if isinstance(found, dict) and "winners" in found else BattlesConfig
    typed = OmegaConf.structured(kind)
    for node in (typed, typed.columns):
        OmegaConf.set_readonly(node, False)  # as those of frozen dataclasses are
    try:
        rows = OmegaConf.to_object(OmegaConf.merge(typed, found or {}))
    except (OmegaConfBaseException, ValueError) as error:
        raise RunFolderError(f"{folder / CONFIG}: data: {str(error).splitlines()[0]}") from error
    assert isinstance(rows, BattlesConfig)
    return rows

"""Hydra's part: the config that a line of overrides makes of a job's YAML file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

import conf


@contextmanager
def hydra_here() -> Iterator[None]:
    """Within, `composed` finds our configs."""
    with hydra.initialize_config_dir(str(Path(conf.__file__).parent.resolve()), version_base="1.3"):
        yield


def composed(job: str, overrides: Sequence[str]) -> DictConfig:
    """The config of a job whose type is registered; what was chosen, which `run.name` asks for, is Hydra's from now on.

    Raises what Hydra raises.
    """
    whole = hydra.compose(job, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    with open_dict(whole):
        del whole["hydra"]
    return whole


def composed_alone(job: str, overrides: list[str]) -> DictConfig:
    """The same outside of `hydra_here`, and without a trace."""
    with hydra_here():
        return hydra.compose(job, overrides)


def points_of(overrides: Sequence[str], sweeps: bool) -> list[list[str]]:
    """The lines of overrides that a line means: with --multirun one for each point of it. Raises what Hydra raises."""
    if not sweeps:
        return [list(overrides)]
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in OverridesParser.create().parse_overrides(list(overrides))
    ]
    return [list(point) for point in product(*choices)]

"""The configs: YAML files, one per thing a user can name, and the types they are checked against."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from lib.cluster.clusters import RayJobsConfig, SlurmArrayConfig, SlurmConfig
from lib.cluster.notify import NotifyConfig
from lib.data.hub.publish_config import PublishConfig
from lib.data.rows.battles import BattlesConfig
from lib.data.rows.conversations import ConversationsConfig
from lib.data.rows.documents import DocumentsConfig
from lib.data.rows.openai_batch import OpenAiBatchConfig
from lib.data.rows.table import TableConfig
from lib.data.rows.votes import VotesConfig
from lib.engines.dummy import DummyConfig
from lib.engines.endpoint.endpoint_config import EndpointConfig
from lib.engines.retrieval.bm25 import Bm25Config
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.faiss_index import FaissConfig
from lib.engines.retrieval.hybrid import HybridConfig
from lib.engines.retrieval.web import WebConfig
from lib.engines.sentence_transformers.sentence_transformers_config import SentenceTransformersConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.engines.vllm.vllm_config import VllmConfig
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.executors.ray_executor import RayConfig
from lib.pipeline.executors.server_executor import ServerConfig
from lib.pipeline.tracking.track_config import TrackConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.urls import without_secrets

SAMPLES = Path(__file__).parent / "samples"
SCHEMAS = {
    "cluster/ray": RayJobsConfig,
    "cluster/slurm": SlurmConfig,
    "cluster/slurm_array": SlurmArrayConfig,
    "data/battles": BattlesConfig,
    "data/conversations": ConversationsConfig,
    "data/documents": DocumentsConfig,
    "data/openai_batch": OpenAiBatchConfig,
    "data/table": TableConfig,
    "data/votes": VotesConfig,
    "engine/dummy": DummyConfig,
    "engine/endpoint": EndpointConfig,
    "engine/sentence_transformers": SentenceTransformersConfig,
    "engine/transformers": TransformersConfig,
    "engine/vllm": VllmConfig,
    "executor/inline": InlineConfig,
    "executor/ray": RayConfig,
    "executor/server": ServerConfig,
    "notify": NotifyConfig,
    "prompt": PromptConfig,
    "publish": PublishConfig,
    "retriever/bm25": Bm25Config,
    "retriever/exact": ExactConfig,
    "retriever/faiss": FaissConfig,
    "retriever/hybrid": HybridConfig,
    "retriever/web": WebConfig,
    "track": TrackConfig,
}


def register(job: str, config_type: type[Any]) -> None:
    """Put the types where the YAML files find them: `/schema/…`, the job's own as `/schema/job/<job>`.

    And let them name the samples that come with the project, wherever it is installed: `${samples:battles.csv}`.
    """
    OmegaConf.register_new_resolver("samples", lambda name: str(SAMPLES / name), replace=True)
    OmegaConf.register_new_resolver("input_name", _input_name, replace=True)
    for path, schema in {**SCHEMAS, f"job/{job}": config_type}.items():
        group, _, name = f"schema/{path}".rpartition("/")
        ConfigStore.instance().store(group=group, name=name, node=_thaw(OmegaConf.structured(schema)))


def _input_name(*, _root_: DictConfig) -> str:
    """What tells a run on train.csv from one on test.csv: -train, -test; nothing for samples."""
    path = OmegaConf.select(_root_, "data.path", default=None, throw_on_missing=False)
    if not path or str(path).startswith(str(SAMPLES)):
        return ""
    parts = PurePosixPath(without_secrets(str(path))).parts
    words = [re.sub(r"[^\w.]+", "_", part.partition(".")[0] or part).strip("_.") for part in parts]
    return next((f"-{word[:40]}" for word in reversed(words) if word), "")


def restored(config_type: type[Any], content: Mapping[str, Any]) -> DictConfig:
    """The config of a job as a run folder has kept it: plain values, put into the types that have just their keys."""
    node = _thaw(OmegaConf.structured(config_type))
    for key, hint in get_type_hints(config_type).items():
        held = content.get(key)
        if isinstance(hint, type) and isinstance(held, Mapping):
            fitting = [s for s in SCHEMAS.values() if issubclass(s, hint) and held.keys() <= _keys(s)]
            if fitting:
                node[key] = _thaw(OmegaConf.structured(min(fitting, key=lambda schema: len(_keys(schema)))))
    merged = OmegaConf.merge(node, dict(content))
    assert isinstance(merged, DictConfig)
    return merged


def _keys(schema: type[Any]) -> set[str]:
    return {f.name for f in fields(schema)}


def _thaw(node: DictConfig) -> DictConfig:
    """OmegaConf makes configs of frozen dataclasses read-only, at any depth, which would refuse every override."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        if isinstance(child := node._get_node(key), DictConfig) and not child._is_none():
            if child._is_missing():
                node[key] = OmegaConf.structured(child._metadata.ref_type)
            _thaw(node[key])
            if not is_dataclass(child._metadata.ref_type):
                OmegaConf.set_struct(node[key], False)  # a mapping takes keys of the user's own
    return node

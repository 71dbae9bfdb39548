"""The configuration: one strict tree, read from YAML."""

from reeltune.config.load import build_config, config_hash, config_tree, key_paths, load_config
from reeltune.config.renamed import translate_record
from reeltune.config.schema import Config

__all__ = [
    "Config",
    "build_config",
    "config_hash",
    "config_tree",
    "key_paths",
    "load_config",
    "translate_record",
]

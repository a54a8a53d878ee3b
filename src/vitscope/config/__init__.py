"""The one description of a run: what can be asked for (`declared`), and how it is read (`reading`, `yaml_text`)."""

from vitscope.config.declared import (
    VERSION,
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Option,
    RecordConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
    options,
)
from vitscope.config.reading import build, merge, parse_assignments, put, read_file, schema
from vitscope.config.yaml_text import dump_yaml, parse_yaml

__all__ = [
    "VERSION",
    "AugmentConfig",
    "CheckpointConfig",
    "DataConfig",
    "ModelConfig",
    "OptimConfig",
    "Option",
    "RecordConfig",
    "RunConfig",
    "ScheduleConfig",
    "TrainConfig",
    "build",
    "dump_yaml",
    "merge",
    "options",
    "parse_assignments",
    "parse_yaml",
    "put",
    "read_file",
    "schema",
]

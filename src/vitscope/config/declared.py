"""`RunConfig`: the one description of a run.

Every training option is declared here and nowhere else: name, type, default, bounds, help, unit. The command line's
options, the YAML file, the JSON Schema (and with it any form) and the reference page are derived from it. This file
checks types and bounds alone; names (a model, an optimizer, a recipe) belong to the tables of the rooms that own them
and are resolved in `workflows/resolve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic.fields import FieldInfo

from vitscope.config.yaml_text import dump_yaml

VERSION = 1

_NUMBER = r"\d+(\.\d+)?"
DURATION = rf"^({_NUMBER}|{_NUMBER}s|{_NUMBER}m({_NUMBER}s)?|{_NUMBER}h({_NUMBER}m)?({_NUMBER}s)?)$"
Pair = Annotated[tuple[float, float], Strict(False)]
_AS_YAML_READS = {True: "on", False: "off"}  # on and off without quotation marks
Switch = Annotated[
    Literal["auto", "on", "off"], BeforeValidator(lambda v: _AS_YAML_READS[v] if isinstance(v, bool) else v)
]


def option(default: Any, help: str, *, flag: str | None = None, unit: str | None = None, **bounds: Any) -> Any:
    """A field of `RunConfig`. `flag` gives it a command line option of its own beside `--set group.name=value`."""
    extra: dict[str, Any] = {k: v for k, v in {"flag": flag, "unit": unit}.items() if v is not None}
    return Field(default=default, description=help, json_schema_extra=extra or None, **bounds)


class Group(BaseModel):
    """Strict: an unknown name or a value of another type is an error, never ignored and never guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


class DataConfig(Group):
    """Which pictures, and how they are split and prepared."""

    source: str | None = option(
        None,
        "A folder of class folders, a table, an archive, `torchvision:NAME`, `hf:OWNER/NAME`, `digits`, `shapes`, or "
        "the name of an imported dataset.",
    )
    val: str | None = option(None, "A source of its own for validation.", flag="--val")
    test: str | None = option(None, "A source of its own for the test split.", flag="--test")
    test_fraction: float = option(0.2, "Share held out as test where the source gives no split.", ge=0, lt=1)
    val_fraction: float = option(0.1, "Share of the rest held out for validation where none is given.", ge=0, lt=1)
    split_seed: int = option(0, "Seed of the split; independent of `seed`.", ge=0)
    per_class: int | None = option(
        None,
        "Train on at most so many pictures of each class, chosen by `split_seed`; validation and test stay whole.",
        ge=1,
        flag="--per-class",
    )
    workers: int | None = option(
        None, "Loader processes; none: chosen by image size and cores.", ge=0, le=64, flag="--workers"
    )
    cache: Switch = option(
        "auto",
        "Keep training pictures decoded and reduced on disk, so that each is decoded once; auto: where they fit.",
        flag="--cache",
    )
    cache_gb: float = option(20.0, "Most disk that the picture caches of a workspace take together.", gt=0, unit="GB")
    resize: Literal["crop", "squash"] = option(
        "crop", "Keep the aspect ratio and crop the centre, or squash to a square."
    )
    crop_pct: float | None = option(
        None,
        "Share of the resized picture that the centre crop keeps; none: the pretrained weights' own, else 1.",
        gt=0,
        le=1,
    )
    interpolation: Literal["bilinear", "bicubic"] | None = option(None, "Resize filter; none: the model's own.")
    sampling: Literal["uniform", "balanced"] = option(
        "uniform",
        "How an epoch draws its pictures: each one equally often, or each class (rare pictures then come repeatedly).",
        flag="--sampling",
    )


class ModelConfig(Group):
    """Which Vision Transformer, and where its weights come from."""

    name: str = option(
        "vit_tiny_patch16_224", "A timm model, or `local-dir:PATH`. See `vitscope models available`.", flag="--model"
    )
    pretrained: bool = option(False, "Start from the weights published for the model.", flag="--pretrained")
    init: str | None = option(None, "Start from the weights of an earlier run or a safetensors file.", flag="--init")
    new_head: bool = option(
        False, "With `init`: replace the classifier head when its classes differ.", flag="--new-head"
    )
    image_size: int | None = option(
        None,
        "Side of the square fed to the model; none: the model's own, or less where pictures or time allow no more.",
        ge=8,
        le=4096,
        unit="pixels",
        flag="--image-size",
    )
    drop_path: float = option(
        0.0, "Stochastic depth rate of the last block (grows linearly from 0).", ge=0, lt=1, flag="--drop-path"
    )
    dropout: float = option(0.0, "Dropout rate before the classifier head.", ge=0, lt=1)
    frozen: float = option(
        0.0,
        "Share of the layers, from the embedding on, that stay as they are; 1: only the head learns.",
        ge=0,
        le=1,
        flag="--frozen",
    )
    lora_rank: int = option(
        0,
        "Rank of low-rank adapters (LoRA) that learn, with the head, in place of the given weights; 0: off.",
        ge=0,
        le=1024,
        flag="--lora",
    )
    pool: Literal["auto", "token", "avg"] = option(
        "auto", "What the head reads: the class token or the patches' mean; auto: the model's own.", flag="--pool"
    )
    registers: int | None = option(
        None,
        "Register tokens, which attention may use as scratch space; none: the model's own.",
        ge=0,
        le=64,
        flag="--registers",
    )
    patch_drop: float = option(
        0.0, "Share of the patches left out in each training step.", ge=0, lt=1, flag="--patch-drop"
    )
    pos_embed: Literal["auto", "antialias", "plain"] = option(
        "auto",
        "How given position embeddings are resized to another image size: bicubic with or without antialiasing; auto: "
        "as the weights were made for.",
    )
    kwargs: dict[str, Any] = option(
        {}, "Further arguments of the architecture: patch_size, embed_dim, depth, num_heads, …"
    )


class OptimConfig(Group):
    """The optimizer."""

    name: str = option(
        "adamw",
        "Optimizer: adamw, sgd, muon (with adamw for all but matrices), or schedulefree (AdamW without a schedule).",
        flag="--optimizer",
    )
    lr: float = option(1e-3, "Peak learning rate.", gt=0, le=100, flag="--lr")
    weight_decay: float = option(
        0.05,
        "Weight decay of matrices; biases, norms, tokens and position embeddings have none.",
        ge=0,
        le=10,
        flag="--weight-decay",
    )
    betas: Pair = option(
        (0.9, 0.999), "AdamW's decay rates of the moments; the first of schedulefree is its interpolation."
    )
    momentum: float = option(0.9, "SGD's and Muon's momentum.", ge=0, lt=1)
    layer_decay: float = option(
        1.0,
        "Factor by which the rate shrinks from each layer to the one below it; 1: the same for all.",
        gt=0,
        le=1,
        flag="--layer-decay",
    )
    clip_grad: float | None = option(1.0, "Largest gradient norm; none: not clipped.", gt=0)


class ScheduleConfig(Group):
    """The learning rate over the run."""

    name: str = option("cosine", "Shape after warm-up: cosine, linear or constant.", flag="--schedule")
    warmup_ratio: float = option(0.1, "Share of the run in which the rate rises linearly from 0.", ge=0, le=1)
    start_size: float = option(
        1.0,
        "Side of the training pictures at the start, as a share of the image size; it leaps to halfway to the "
        "whole and, after three quarters of the run, to the whole. 1: the same throughout.",
        gt=0,
        le=1,
        flag="--start-size",
    )
    min_lr_ratio: float = option(0.0, "Rate at the end, as a share of the peak.", ge=0, le=1)


class AugmentConfig(Group):
    """What is done to training pictures; all of it is drawn from (seed, epoch, sample)."""

    crop_scale: Pair = option((0.35, 1.0), "Random resized crop: share of the area kept, smallest and largest.")
    crop_ratio: Pair = option((0.75, 1.3333333333333333), "Random resized crop: aspect ratio, smallest and largest.")
    shift: float = option(
        0.0, "Largest shift to each side, as a share of the picture; edges are repeated.", ge=0, le=0.5
    )
    flip: float = option(0.5, "Probability of a horizontal flip.", ge=0, le=1, flag="--flip")
    policy: str | None = option(
        None, "Further changes of each picture: randaugment, trivial or three; none: none.", flag="--policy"
    )
    rotate: float = option(0.0, "Largest turn to each side.", ge=0, le=180, unit="degrees")
    scale: float = option(0.0, "Largest enlargement or reduction, as a share of the size.", ge=0, le=1)
    shear: float = option(0.0, "Largest slant to each side.", ge=0, le=60, unit="degrees")
    translate: float = option(
        0.0, "Largest shift to each side, as a share of the picture; edges are mirrored.", ge=0, le=0.5
    )
    brightness: float = option(0.0, "Largest change of brightness, as a share.", ge=0, le=1)
    contrast: float = option(0.0, "Largest change of contrast, as a share.", ge=0, le=1)
    saturation: float = option(0.0, "Largest change of saturation, as a share.", ge=0, le=1)
    erase: float = option(0.0, "Probability that a box of the picture is erased.", ge=0, le=1)
    repeats: int = option(
        1, "Views of each picture in a batch (repeated augmentation); an epoch then sees as many fewer.", ge=1, le=16
    )
    mixup: float = option(0.0, "Mixup's Beta parameter; 0: off.", ge=0, le=10, flag="--mixup")
    cutmix: float = option(
        0.0, "CutMix's Beta parameter; 0: off. With both, each step draws one of them.", ge=0, le=10, flag="--cutmix"
    )


class TrainConfig(Group):
    """The loop."""

    epochs: int = option(30, "Passes over the training pictures.", ge=1, le=100_000, flag="--epochs")
    time_budget: str | None = option(
        None,
        "Time from start to exit, such as 10m, 1h30m or 45s; epochs, resolution and schedule are fitted to it.",
        flag="--time-budget",
        pattern=DURATION,
    )
    batch_size: int = option(
        64, "Images an optimizer step (the effective batch).", ge=1, le=1_000_000, unit="images", flag="--batch-size"
    )
    accumulation: int = option(
        1,
        "Parts into which the batch is split to save memory; the result is the same, but for batch norm.",
        ge=1,
        flag="--accumulation",
    )
    checkpoint_activations: bool = option(
        False,
        "Keep the inputs of the blocks alone and compute the rest again going backward: less memory, more time.",
        flag="--checkpoint-activations",
    )
    memory: str | None = option(
        None,
        "Memory to stay within, such as 8GB or 500MB: accumulation and the like are chosen so that the estimate fits.",
        flag="--memory",
    )
    eval_batch_size: int = option(128, "Images a batch in evaluation.", ge=1, unit="images")
    label_smoothing: float = option(0.1, "Share of the target spread over all classes.", ge=0, lt=1)
    class_weights: Literal["none", "balanced", "effective"] = option(
        "none",
        "Weights of the classes in the loss: the inverse of their counts, or of their effective numbers.",
        flag="--class-weights",
    )
    tta: Literal["none", "flip"] = option(
        "none", "Validation and test of the run: each picture alone, or averaged with its mirror image.", flag="--tta"
    )
    ema_decay: float = option(
        0.0, "Decay of the moving average of the weights that evaluation then uses; 0: off.", ge=0, lt=1, flag="--ema"
    )
    evaluate_every: int = option(
        1, "Epochs between evaluations; the first and the last are always evaluated.", ge=1, unit="epochs"
    )
    if_not_finite: Literal["stop", "skip"] = option(
        "stop",
        "Where the loss or its gradient is no number: stop, or leave the step out (each step then waits for a GPU).",
    )
    early_stop_epochs: int = option(
        0, "Stop after so many epochs without a better validation; 0: never.", ge=0, flag="--early-stop"
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N, mps.", flag="--device")
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Arithmetic of forward and backward.", flag="--precision"
    )
    attention: Literal["auto", "fused", "unfused"] = option("auto", "Attention kernel.")
    compile: Switch = option("auto", "Compile the model with torch.compile.", flag="--compile")
    threads: int | None = option(None, "CPU threads; none: as many as cores.", ge=1, le=1024)
    deterministic: bool = option(
        False, "Choose by capability alone and use deterministic kernels only.", flag="--deterministic"
    )


class CheckpointConfig(Group):
    """When the state is saved, and how many are kept. Best and last are always kept."""

    every_epochs: int = option(1, "Save after so many epochs.", ge=1)
    every_s: float = option(
        60.0, "Save at least so often (or every 2 % of the run, whichever is sooner).", gt=0, unit="s"
    )
    every_steps: int | None = option(None, "Save also after so many steps.", ge=1)
    max_overhead: float = option(
        0.02, "Largest share of the time that saving may take; the interval is stretched to it.", gt=0, le=1
    )
    keep: int = option(2, "Newest checkpoints kept beside best.", ge=1)
    if_unwritable: Literal["stop", "go-on"] = option(
        "stop",
        "Where one cannot be saved (a full disk): stop, or go on and try at the next one. The last must be saved.",
    )


class RecordConfig(Group):
    """What is written beside the metrics."""

    tensorboard: bool = option(True, "Mirror the metrics to TensorBoard files.")
    charts: bool = option(True, "Draw the charts after each epoch.")
    snapshots: bool = option(True, "Record attention and layers on a few pictures now and then, for the time line.")
    snapshot_images: int = option(4, "Pictures that snapshots look at, of as many classes.", ge=1, le=16)
    snapshot_share: float = option(
        0.01, "Largest share of the time that snapshots may take; the first and the last are always taken.", gt=0, le=1
    )
    snapshot_count: int = option(60, "Most snapshots of a run, spread evenly over its steps.", ge=2, le=1000)


class RunConfig(Group):
    """Everything that describes a run. See the groups for the options."""

    version: Literal[1] = option(1, "Version of this description.")
    name: str | None = option(None, "Name of the run; none: made from the data.", flag="--name", max_length=200)
    recipe: str | None = option(
        None, "A named set of defaults; none: auto, which chooses one from the data and says why.", flag="--recipe"
    )
    seed: int = option(0, "Seed of everything random in training.", ge=0, lt=2**63, flag="--seed")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    record: RecordConfig = RecordConfig()

    def to_yaml(self) -> str:
        return dump_yaml(self.model_dump(mode="json"))


class Option(NamedTuple):
    """One declared option, found by walking `RunConfig`: `path` is `group.name`, or `name` at the top."""

    path: str
    field: FieldInfo

    @property
    def flag(self) -> str | None:
        extra = self.field.json_schema_extra
        return extra.get("flag") if isinstance(extra, dict) else None  # type: ignore[return-value]

    @property
    def unit(self) -> str | None:
        extra = self.field.json_schema_extra
        return extra.get("unit") if isinstance(extra, dict) else None  # type: ignore[return-value]


def options(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[Option]:
    """Every option of `RunConfig` in the order of its declaration."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from options(info.annotation, f"{prefix}{name}.")
        else:
            yield Option(prefix + name, info)

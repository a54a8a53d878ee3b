"""One description: what a field's declaration brings, precedence, and what is wrong is told (faults 31–34, 36)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from vitscope import config
from vitscope.config import declared, migration, reading
from vitscope.errors import RequestError


def told(action: Any) -> str:
    with pytest.raises(RequestError) as error:
        action()
    assert error.value.exit_code == 2
    return str(error.value)


def test_later_layers_win_and_are_not_changed():
    file = {"train": {"epochs": 5, "batch_size": 16}, "model": {"kwargs": {"depth": 3, "num_heads": 2}}}
    flags = {"train": {"epochs": 7}, "model": {"kwargs": {"depth": 4}}}
    c = config.build(file, flags)
    assert (c.train.epochs, c.train.batch_size, c.optim.lr) == (7, 16, 1e-3)
    assert c.model.kwargs == {"depth": 4, "num_heads": 2}
    assert file["train"]["epochs"] == 5


def test_precedence_default_recipe_file_flag_set(tmp_path: Path):
    from vitscope.training.recipes import RECIPES
    from vitscope.workflows.recipe import with_recipe
    from vitscope.workflows.train import request

    recipe = RECIPES["scratch"].OPTIONS["train"]["epochs"]
    assert recipe != config.TrainConfig().epochs
    file = tmp_path / "run.yaml"
    file.write_text("train: {epochs: 11}\n")
    assert with_recipe(request(None, None, (), {})).train.epochs == recipe
    assert with_recipe(request(None, file, (), {})).train.epochs == 11
    assert with_recipe(request(None, file, (), {"epochs": 12})).train.epochs == 12
    assert with_recipe(request(None, file, ("train.epochs=13",), {"epochs": 12})).train.epochs == 13


def test_the_description_of_a_run_with_a_time_budget_repeats_it(tmp_path: Path):
    """It says epochs too; those that are asked for beside a budget are still refused."""
    from vitscope.workflows.train import request

    file = tmp_path / "config.yaml"
    file.write_text(config.build({"train": {"time_budget": "10m", "epochs": 30}}).to_yaml())
    assert "epochs" not in request(None, file, (), {})["train"]
    assert request(None, file, (), {})["train"]["time_budget"] == "10m"
    assert request(None, file, (), {"epochs": 5})["train"]["epochs"] == 5
    file.write_text(config.build({"train": {"epochs": 30}}).to_yaml())
    assert request(None, file, (), {})["train"]["epochs"] == 30


def test_what_is_written_is_read_back_the_same(tmp_path: Path):
    c = config.build(
        config.parse_assignments(
            ["optim.lr=3e-4", "augment.crop_scale=[0.5, 0.9]", "data.source=猫 'n dogs", "model.kwargs={depth: 2}"]
        )
    )
    file = tmp_path / "config.yaml"
    file.write_text(c.to_yaml(), encoding="utf-8")
    assert config.build(config.read_file(file)) == c


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("3E5", 3e5), ("0.5", 0.5), ("1", 1.0)])
def test_numbers_are_read_as_people_write_them(text: str, value: float):
    assert config.build(config.parse_assignments([f"optim.lr={text}"])).optim.lr == value if value <= 100 else True
    assert config.parse_assignments([f"x={text}"])["x"] == value


def test_fault_31_unknown_options_are_told_with_the_closest():
    assert "Did you mean 'optim.lr'" in told(lambda: config.build({"optim": {"lrr": 1.0}}))
    assert "Did you mean 'train.epochs'" in told(lambda: config.build({"epochs": 3}))
    assert "Unknown option 'modle" in told(lambda: config.build({"modle": {"name": "x"}}))


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("train.epochs=0", "train.epochs: input should be greater than or equal to 1"),
        ("train.epochs=three", "train.epochs: input should be a valid integer"),
        ("train.epochs=2.5", "train.epochs"),
        ("optim.lr=-1", "optim.lr"),
        ("optim.lr=.nan", "optim.lr"),
        ("model.pretrained=maybe", "model.pretrained"),
        ("train.precision=fp8", "train.precision"),
        ("augment.crop_scale=[1]", "augment.crop_scale"),
        ("data=3", "data"),
    ],
)
def test_fault_32_36_wrong_types_and_bounds_are_told(assignment: str, says: str):
    assert says in told(lambda: config.build(config.parse_assignments([assignment])))


def test_several_mistakes_are_told_at_once():
    text = told(lambda: config.build({"train": {"epochs": 0, "batch_size": "x"}}))
    assert "train.epochs" in text
    assert "train.batch_size" in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("train: {epochs: 3", "not valid YAML"),
        ("- 1\n- 2\n", "mapping"),
        ("!!python/object/apply:os.system ['touch pwned']", "not valid YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases"),
        ("version: 99\n", "Update vitscope"),
        ("[" * 5000, ""),
    ],
)
def test_fault_33_only_safe_plain_yaml_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, says: str
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.yaml"
    file.write_text(content)
    assert says in told(lambda: config.read_file(file))
    assert not (tmp_path / "pwned").exists()


# What `RunConfig().to_yaml()` wrote when it was first committed: every option that there was, none of those since.
FIRST = """
version: 1
name: null
recipe: null
seed: 0
data: {source: null, val: null, test: null, test_fraction: 0.2, val_fraction: 0.1, split_seed: 0, workers: null,
  resize: crop, crop_pct: null, interpolation: null}
model: {name: vit_tiny_patch16_224, pretrained: false, init: null, new_head: false, image_size: null, drop_path: 0.0,
  dropout: 0.0, kwargs: {}}
optim: {name: adamw, lr: 0.001, weight_decay: 0.05, betas: [0.9, 0.999], momentum: 0.9, clip_grad: 1.0}
schedule: {name: cosine, warmup_ratio: 0.1, min_lr_ratio: 0.0}
augment: {crop_scale: [0.35, 1.0], crop_ratio: [0.75, 1.3333333333333333], shift: 0.0, flip: 0.5, mixup: 0.0,
  cutmix: 0.0}
train: {epochs: 30, batch_size: 64, accumulation: 1, eval_batch_size: 128, label_smoothing: 0.1, ema_decay: 0.0,
  early_stop_epochs: 0, device: auto, attention: auto, compile: auto, threads: null, deterministic: false}
checkpoint: {every_epochs: 1, every_s: 60.0, every_steps: null, max_overhead: 0.02, keep: 2}
record: {tensorboard: true, charts: true}
"""


def test_fault_34_the_first_descriptions_are_read_as_they_were_meant(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "first.yaml"
    file.write_text(FIRST)
    content = config.read_file(file)
    c = config.build(content).model_dump(mode="json")
    for name, group in content.items():
        assert c[name] == group if not isinstance(group, dict) else group.items() <= c[name].items(), name
    assert caplog.text == ""


@pytest.mark.parametrize("version", ["version: 1\n", ""])
def test_fault_34_a_description_of_an_earlier_version_is_migrated_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str
):
    """By a next version, in which an option has another name."""

    class Renamed(config.OptimConfig):
        peak_lr: float = declared.option(1e-3, "Learning rate.", gt=0)

    class Next(config.RunConfig):
        version: Literal[2] = declared.option(2, "Version of this description.")  # type: ignore[assignment]
        optim: Renamed = Renamed()

    def rename(content: dict[str, Any]) -> list[str]:
        if "lr" not in (optim := content.get("optim", {})):
            return []
        optim["peak_lr"] = optim.pop("lr")
        return ["optim.lr is optim.peak_lr now."]

    monkeypatch.setattr(reading, "VERSION", 2)
    monkeypatch.setattr(reading, "RunConfig", Next)
    monkeypatch.setattr(migration, "STEPS", {1: rename})
    file = tmp_path / "run.yaml"
    file.write_text(f"{version}optim: {{lr: 0.25, weight_decay: 0.5}}\n")
    c = config.build(config.read_file(file))
    assert (c.version, c.optim.peak_lr, c.optim.weight_decay) == (2, 0.25, 0.5)  # type: ignore[attr-defined]
    (message,) = caplog.messages
    assert message.startswith(f"{file}: written for an earlier version of the run description, read as version 2.")
    assert message.endswith("optim.lr is optim.peak_lr now.")
    assert "lr: 0.25" in file.read_text()  # the file stays as it is

    caplog.clear()
    file.write_text("version: 2\noptim: {peak_lr: 0.5}\n")
    assert config.build(config.read_file(file)).optim.peak_lr == 0.5  # type: ignore[attr-defined]
    file.write_text("version: 3\n")
    assert "written for version 3 of the run description; this program knows 2" in told(lambda: config.read_file(file))
    assert caplog.messages == []


def test_files_that_are_no_description_are_told(tmp_path: Path):
    assert "no such" in told(lambda: config.read_file(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "UTF-8" in told(lambda: config.read_file(tmp_path / "binary.yaml"))
    (tmp_path / "large.yaml").write_text("# " + "x" * reading.MAX_FILE_BYTES)
    assert "larger than" in told(lambda: config.read_file(tmp_path / "large.yaml"))


def test_a_new_field_shows_up_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A dummy field is declared once; schema, YAML, --set, its flag and the reference page have it."""
    from vitscope.cli.options import with_run_options
    from vitscope.workflows.reference import options_page

    class WithDummy(config.TrainConfig):
        wobble: float = declared.option(0.25, "How much it wobbles.", ge=0, le=1, unit="radians", flag="--wobble")

    class Described(config.RunConfig):
        train: WithDummy = WithDummy()

    monkeypatch.setattr(reading, "RunConfig", Described)
    monkeypatch.setattr(config.options, "__defaults__", (Described, ""))

    assert config.schema()["$defs"]["WithDummy"]["properties"]["wobble"]["maximum"] == 1
    assert "wobble: 0.25" in config.build().to_yaml()
    assert config.build(config.parse_assignments(["train.wobble=0.5"])).train.wobble == 0.5
    assert "train.wobble" in told(lambda: config.build({"train": {"wobble": 2.0}}))
    assert (
        "| `wobble` | `--wobble` | number, at least 0, at most 1 | `0.25` | How much it wobbles. In radians. |"
        in options_page()
    )

    app, seen = typer.Typer(rich_markup_mode=None), {}

    @app.command()
    @with_run_options
    def command(**flags: Any) -> None:
        seen.update(flags)

    assert "--wobble" in CliRunner().invoke(app, ["--help"]).output
    assert CliRunner().invoke(app, ["--wobble", "0.75"]).exit_code == 0
    assert seen == {"train.wobble": 0.75}


def test_every_option_is_described_and_every_flag_is_its_own():
    every = list(config.options())
    assert all(o.field.description for o in every)
    flags = [o.flag for o in every if o.flag]
    assert len(flags) == len(set(flags))
    assert all(flag.startswith("--") for flag in flags)


def test_the_reference_page_is_up_to_date():
    from vitscope.workflows.reference import options_page

    page = Path(__file__).parent.parent / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == options_page(), "run `make docs`"


def test_the_schema_is_json():
    assert json.loads(json.dumps(config.schema()))["properties"].keys() >= {"data", "model", "optim", "train", "seed"}


@pytest.mark.parametrize(("text", "read"), [("on", "on"), ("off", "off"), ("auto", "auto"), ('"on"', "on")])
def test_on_and_off_need_no_quotation_marks(text: str, read: str):
    """YAML reads them as booleans."""
    c = config.build(config.parse_assignments([f"train.compile={text}", f"data.cache={text}"]))
    assert (c.train.compile, c.data.cache) == (read, read)
    with pytest.raises(RequestError, match="'auto', 'on' or 'off'"):
        config.build(config.parse_assignments(["train.compile=1"]))

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import draw_folder

from vitscope import config
from vitscope.config import ModelConfig
from vitscope.data.batches import BatchAugment
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.storage.workspace import Workspace
from vitscope.training.recipes import RECIPES, auto
from vitscope.workflows.recipe import with_recipe
from vitscope.workflows.resolve import resolve
from vitscope.workflows.suited import without_growing


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_documented_and_holds_known_options(name: str):
    assert (RECIPES[name].__doc__ or "").count("\n") >= 2
    c = config.build(RECIPES[name].OPTIONS)
    if not c.model.pretrained:
        describe(c.model, c.data, 3)  # the model can be made


@pytest.mark.parametrize("name", ["linear-probe", "lora"])
def test_what_supposes_given_weights_says_so(name: str, tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 20, "b": 20}, size=30)
    with pytest.raises(RequestError, match="Add --pretrained or --init"):
        resolve({"data": {"source": str(source)}, "recipe": name}, Workspace(tmp_path / "ws"))


def test_augreg_grows_from_light_to_strong():
    light, medium, strong = (config.build(RECIPES[f"augreg-{name}"].OPTIONS) for name in ("light", "medium", "strong"))
    assert light.augment.mixup < medium.augment.mixup < strong.augment.mixup
    assert (light.augment.policy, medium.augment.policy, strong.augment.policy) == (None, "randaugment", "randaugment")
    assert all(
        (RECIPES[f"augreg-{s}"].__doc__ or "").startswith(f"From random weights: {s} aug") for s in ("light", "strong")
    )
    assert (medium.model.drop_path, strong.model.drop_path, strong.model.dropout) == (0.0, 0.1, 0.1)


@pytest.mark.parametrize(
    ("facts", "recipe", "size"),
    [
        (auto.Facts(1500, 32, False, False), "scratch-small", 32),
        (auto.Facts(1500, 28, False, False), "scratch-small", 32),
        (auto.Facts(1500, 64, False, False), "scratch-small", 64),
        (auto.Facts(1500, 20, False, False), "scratch-small", 32),
        (auto.Facts(1500, 100, False, False), "scratch-small", 64),
        (auto.Facts(50_000, 128, False, False), "scratch-small", 128),
        (auto.Facts(1500, 400, False, False), "scratch", None),
        (auto.Facts(1500, 0, False, False), "scratch", None),
        (auto.Facts(1500, 32, True, False), "finetune", None),
        (auto.Facts(1500, 32, False, True), "scratch", None),
    ],
)
def test_auto_chooses_by_the_pictures(facts: auto.Facts, recipe: str, size: int | None):
    chosen = auto.choose(facts)
    assert chosen.recipe == recipe
    assert chosen.options.get("model", {}).get("image_size") == size
    assert chosen.reason.startswith(f"Recipe {recipe}: ")
    c = config.build(RECIPES[chosen.recipe].OPTIONS, chosen.options)
    if size is not None:
        assert describe(c.model, c.data, 3).preprocess.size == size
        assert size // c.model.kwargs["patch_size"] == 8


@pytest.mark.parametrize(("images", "batch"), [(1500, 64), (4_999, 64), (5_000, 128), (20_000, 256), (10**6, 256)])
def test_batches_are_larger_where_there_are_many_small_pictures(images: int, batch: int):
    chosen = auto.choose(auto.Facts(images, 32, False, False))
    assert config.build(RECIPES[chosen.recipe].OPTIONS, chosen.options).train.batch_size == batch


def test_many_pictures_are_shifted_and_mirrored_alone():
    few, many = (auto.choose(auto.Facts(images, 32, False, False, ("cat", "dog"))) for images in (1500, 45_000))
    few, many = (config.build(RECIPES[chosen.recipe].OPTIONS, chosen.options).augment for chosen in (few, many))
    assert (few.rotate, few.brightness, few.shift, few.flip) == (12.0, 0.3, 0.0, 0.5)
    assert (many.rotate, many.brightness, many.shift, many.flip) == (0.0, 0.0, 0.125, 0.5)
    assert not BatchAugment(many, 0).is_on


@pytest.mark.parametrize("asked", [{}, {"recipe": "auto"}])
def test_small_pictures_get_a_small_model_and_are_told(asked: dict, tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 20, "b": 20}, size=30)
    plan = resolve({"data": {"source": str(source)}, **asked}, Workspace(tmp_path / "ws"))
    assert (plan.config.recipe, plan.config.model.image_size) == ("scratch-small", 32)
    assert any(notice.startswith("Recipe scratch-small: the pictures are about 30 pixels") for notice in plan.notices)


def test_what_was_asked_for_stays(tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 20, "b": 20}, size=30)
    requested = {"data": {"source": str(source)}, "model": {"image_size": 64}, "optim": {"lr": 0.5}}
    c = resolve(requested, Workspace(tmp_path / "ws")).config
    assert (c.model.image_size, c.optim.lr, c.recipe) == (64, 0.5, "scratch-small")
    named = {**requested, "model": {"name": "vit_tiny_patch16_224", "image_size": 32}}
    c = resolve(named, Workspace(tmp_path / "ws")).config
    assert (c.model.name, c.model.kwargs, c.recipe) == ("vit_tiny_patch16_224", {}, "scratch")
    chosen = with_recipe({"recipe": "scratch-small"})
    assert chosen.recipe == "scratch-small"


def test_a_model_of_one_size_does_not_grow_as_the_recipe_says():
    c = config.build(RECIPES["scratch-small"].OPTIONS)
    c = c.model_copy(update={"model": ModelConfig(name="convit_tiny")})
    fixed = describe(c.model, c.data, 3)
    changed, told = without_growing(c, {}, fixed)
    assert (c.schedule.start_size, changed.schedule.start_size) == (0.5, 1.0)
    assert "convit_tiny takes pictures of one size only" in told[0]
    with pytest.raises(RequestError, match="Leave --start-size out"):
        without_growing(c, {"schedule": {"start_size": 0.5}}, fixed)
    growing = with_recipe({"recipe": "scratch-small"})
    assert without_growing(growing, {}, describe(growing.model, growing.data, 3)) == (growing, [])


def test_pictures_that_grow_are_not_compiled_for_each_size_on_a_cpu(tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 20, "b": 20}, size=30)
    train = {"epochs": 100_000, "device": "cpu"}
    plan = resolve({"data": {"source": str(source)}, "train": train}, Workspace(tmp_path / "ws"))
    assert plan.config.schedule.start_size == 0.5
    assert plan.config.train.compile == "off"
    assert any(reason.startswith("compile off: it wins little") for reason in plan.choices.reasons)


@pytest.mark.parametrize(
    ("classes", "is_mirrored"),
    [
        (("airplane", "automobile", "bird"), True),
        (("t-shirt", "dress"), True),
        (("0", "1", "2"), False),
        (("00014", "00015"), False),
        (("one", "two"), False),
        (("turn_left", "turn_right"), False),
        (("a", "b"), False),
        (("digit_0", "digit_1"), False),
        (("digit0", "digit1"), False),
        (("speed30", "speed50"), False),
        (("letter_b", "letter_d"), False),
        (("upper b", "upper d"), False),
        (("左转", "右转"), False),
        (("猫猫", "狗狗"), True),
        ((), False),
    ],
)
def test_auto_mirrors_pictures_of_things_alone(classes: tuple[str, ...], is_mirrored: bool):
    chosen = auto.choose(auto.Facts(1500, 32, False, False, classes))
    c = config.build(RECIPES[chosen.recipe].OPTIONS, chosen.options)
    assert (c.augment.flip > 0) == is_mirrored
    assert ("mirrored at random" in chosen.reason) == is_mirrored


def test_auto_trains_few_pictures_of_given_weights_as_such():
    few, many = (auto.choose(auto.Facts(images, 200, True, True, tuple("abcde"))) for images in (100, 101))
    assert (few.recipe, many.recipe) == ("few-shot", "finetune")
    assert "20 pictures of a class are few" in few.reason
    assert auto.choose(auto.Facts(0, 0, True, True)).recipe == "finetune"  # nothing is known of the pictures yet


def test_auto_knows_the_names_of_the_classes(tmp_path: Path):
    for names, flip in ((("cup", "bowl"), 0.5), (("6", "9"), 0.0)):
        source = draw_folder(tmp_path / names[0], dict.fromkeys(names, 20), size=30)
        plan = resolve({"data": {"source": str(source)}}, Workspace(tmp_path / "ws"))
        assert plan.config.augment.flip == flip
        asked = resolve({"data": {"source": str(source)}, "augment": {"flip": 0.3}}, Workspace(tmp_path / "ws"))
        assert asked.config.augment.flip == 0.3

"""Moments of a training: their numbers against other ways to compute them, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trained import tiny_bundle
from vitscope.inspection import snapshots
from vitscope.inspection.probe import capture
from vitscope.inspection.snapshots import Pinned, fixed_edges, take
from vitscope.inspection.tokens import tokens_of

SIZE, HEADS, DEPTH, GRID = 32, 3, 2, 4


@pytest.fixture
def module() -> torch.nn.Module:
    return tiny_bundle().module


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def taken(module: torch.nn.Module, pixels: torch.Tensor, initial: dict | None = None) -> dict[str, np.ndarray]:
    return take(module, pixels, tokens_of(module, SIZE), initial, fixed_edges(module))


def test_maps_are_the_class_tokens_row_of_the_attention(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    found, weights = taken(module, pixels), capture(module, pixels).attention
    assert found["thumbnails"].shape == (2, DEPTH, HEADS, GRID, GRID) and found["thumbnails"].dtype == np.uint8
    for layer in range(DEPTH):
        row = weights[layer][:, :, 0, 1:].reshape(2, HEADS, GRID, GRID)
        largest = found["thumbnail_max"][:, layer]
        assert largest == pytest.approx(row.max(axis=(2, 3)))
        assert found["thumbnails"][:, layer] / 255 * largest[..., None, None] == pytest.approx(row, abs=1 / 400)
    assert (found["thumbnails"].max(axis=(3, 4)) == 255).all()


def test_rollout_is_the_product_of_half_attention_and_half_identity(
    module: torch.nn.Module, pixels: torch.Tensor
) -> None:
    found, weights = taken(module, pixels), capture(module, pixels).attention
    for image in range(2):
        product = np.eye(1 + GRID**2)
        for layer in range(DEPTH):
            product = (0.5 * weights[layer][image].astype(float).mean(axis=0) + 0.5 * np.eye(1 + GRID**2)) @ product
            row = product[0, 1:].reshape(GRID, GRID)
            assert found["rollout_max"][image, layer] == pytest.approx(row.max(), rel=1e-5)
            scaled = found["rollout"][image, layer] / 255 * row.max()
            assert scaled == pytest.approx(row, abs=1 / 400)


def test_predictions_are_the_modules(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    found = taken(module, pixels)
    shares = module(pixels).softmax(dim=1)
    assert found["top_labels"].tolist() == shares.argsort(dim=1, descending=True).tolist()
    assert found["top_probabilities"] == pytest.approx(shares.sort(descending=True).values.detach().numpy(), abs=1e-6)


def test_layers_in_numbers(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    initial = {name: weight * 0.5 for name, weight in module.state_dict().items()}
    initial["head.weight"] = torch.zeros_like(initial["head.weight"])
    found = taken(module, pixels, initial)
    layers = [module.get_parameter(f"{one}.weight").detach().double().flatten(1).numpy() for one in names(module)]
    assert found["frobenius"] == pytest.approx([np.sqrt((w**2).sum()) for w in layers])
    assert found["change"][:-1] == pytest.approx(np.ones(len(layers) - 1)) and np.isinf(found["change"][-1])
    for k, weight in enumerate(layers):
        values = np.linalg.svd(weight, compute_uv=False)
        shares = values / values.sum()
        assert found["effective_rank"][k] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
        edges = found["edges"][k].astype(np.float64)
        inside = np.clip(weight, edges[0], edges[-1])
        assert np.abs(found["histogram"][k] - np.histogram(inside, edges)[0]).sum() <= 4  # some lie on an edge
        assert found["histogram"][k].sum() == weight.size


def names(module: torch.nn.Module) -> list[str]:
    inside = [f"blocks.{i}.{part}" for i in range(DEPTH) for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    return ["patch_embed.proj", *inside, "head"]


def test_the_pictures_of_layers_are_means_of_their_cells(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    found = taken(module, pixels)
    weight = module.get_parameter("blocks.0.attn.qkv.weight").detach().numpy()  # 144 × 48: cells of 6 × 2
    assert found["maps"][1] == pytest.approx(weight.reshape(24, 6, 24, 2).mean(axis=(1, 3)), abs=2e-3)
    assert found["maps"].shape == (10, 24, 24) and found["maps"].dtype == np.float16


def test_what_grows_beyond_the_edges_is_counted_in_the_last_bins(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    edges = fixed_edges(module)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(1000)
    grown = take(module, pixels, tokens_of(module, SIZE), None, edges)
    ends = grown["histogram"][:, [0, -1]].sum(axis=1)
    assert (ends > 0.95 * grown["histogram"].sum(axis=1)).all()
    assert (grown["edges"] == edges).all()


def test_a_model_that_has_not_learned_yet_has_bins_all_the_same() -> None:
    module = tiny_bundle().module
    with torch.no_grad():
        module.get_parameter("head.weight").zero_()
    edges = fixed_edges(module)
    assert (np.diff(edges, axis=1) > 0).all()


def test_the_module_is_left_as_it_was(module: torch.nn.Module, pixels: torch.Tensor) -> None:
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    module.train()
    generator = torch.get_rng_state()
    taken(module, pixels)
    assert all(part.training for part in module.modules())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())


def test_many_pictures_are_looked_at_one_after_another(
    module: torch.nn.Module, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = taken(module, pixels)
    monkeypatch.setattr(snapshots, "MOST_ATTENTION_BYTES", 1.0)
    apart = taken(module, pixels)
    assert together.keys() == apart.keys()
    for name, values in together.items():
        if values.dtype.kind == "f":
            assert apart[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def test_large_models_have_no_effective_ranks(
    module: torch.nn.Module, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST_DECOMPOSED", 1e5)
    assert "effective_rank" not in taken(module, pixels)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 32, "embed_dim": 24, "depths": (1, 1), "num_heads": (1, 2)},
            "window",
        ),
        ("cait_xxs24_224", {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}, "class"),
    ],
)
def test_models_with_other_attention_still_show_their_layers(name: str, options: dict, kind: str) -> None:
    import timm

    module = timm.create_model(name, num_classes=3, **options).eval()
    found = taken(module, torch.zeros(1, 3, SIZE, SIZE))
    assert found["kind"].item() == kind
    assert "thumbnails" not in found and "rollout" not in found
    assert found["top_labels"].shape == (1, 3) and len(found["maps"]) == len(found["frobenius"]) > 4


def test_without_pictures_the_layers_are_there(module: torch.nn.Module) -> None:
    found = take(module, torch.empty(0, 3, SIZE, SIZE), tokens_of(module, SIZE), None, fixed_edges(module))
    assert "top_labels" not in found and "change" not in found and found["maps"].shape == (10, 24, 24)


# ------------------------------------------------------------------------------------------------ files


def test_what_is_written_is_read_again(module: torch.nn.Module, pixels: torch.Tensor, tmp_path: Path) -> None:
    pinned = [Pinned("0" * 16, "梨", "val"), Pinned("f" * 16, "apple", "val")]
    snapshots.write_pinned(tmp_path, pinned, module)
    arrays = taken(module, pixels, dict(module.state_dict()))
    for step in (40, 8):
        snapshots.write(tmp_path, step, step / 10, 0.25, [one.sample_id for one in pinned], arrays)
    timeline = snapshots.read_timeline(tmp_path)
    assert timeline.pinned == pinned
    assert [layer.id for layer in timeline.layers] == names(module)
    assert timeline.layers[1] == (1, "blocks.0.attn.qkv", "qkv", 0, (144, 48))
    assert [(m.step, m.epoch, m.seconds) for m in timeline.moments] == [(8, 0.8, 0.25), (40, 4.0, 0.25)]
    for name, values in arrays.items():
        assert (timeline.moments[0].arrays[name] == values).all(), name
    assert timeline.moments[0].arrays["images"].tolist() == ["0" * 16, "f" * 16]


def test_initial_weights_are_a_plain_safetensors_file(module: torch.nn.Module, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    snapshots.write_initial(tmp_path, module.state_dict())
    loaded = load_file(tmp_path / "initial.safetensors")
    assert all(torch.equal(loaded[name], weight) for name, weight in module.state_dict().items())


def test_damaged_and_missing_files_are_left_out(module: torch.nn.Module, pixels: torch.Tensor, tmp_path: Path) -> None:
    arrays = taken(module, pixels)
    assert snapshots.read_timeline(tmp_path / "none") == ([], [], [])
    whole = snapshots.write(tmp_path, 1, 0.1, 0.1, ["a", "b"], arrays)
    content = whole.read_bytes()
    snapshots.moment_file(tmp_path, 2).write_bytes(content[: len(content) // 2])
    snapshots.moment_file(tmp_path, 3).write_bytes(b"")
    snapshots.moment_file(tmp_path, 4).write_bytes(b"no archive at all")
    (tmp_path / "pinned.json").write_text("{")
    assert [moment.step for moment in snapshots.read_timeline(tmp_path).moments] == [1]


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "step-00000001.npz", step=np.array([{}], dtype=object))
    assert snapshots.read_moment(tmp_path, 1) is None


def test_an_interrupted_write_leaves_nothing(
    module: torch.nn.Module, pixels: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = taken(module, pixels)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", stop)
        snapshots.write(tmp_path, 1, 0.1, 0.1, ["a", "b"], arrays)
    assert list(tmp_path.iterdir()) == []


def test_later_moments_and_leftovers_go(tmp_path: Path) -> None:
    for name in ("step-00000003.npz", "step-00000004.npz", "step-00000005.npz", ".step-00000006.npz.77.tmp"):
        (tmp_path / name).touch()
    snapshots.remove_after(tmp_path, 4)
    assert snapshots.steps(tmp_path) == [3, 4] and len(list(tmp_path.iterdir())) == 2


def test_a_file_of_another_name_is_no_moment(tmp_path: Path) -> None:
    for name in ("step-x.npz", "step-.npz", "step-00000004.npz", "step-00000004-copy.npz"):
        (tmp_path / name).touch()
    assert snapshots.steps(tmp_path) == [4]
    assert snapshots.read_timeline(tmp_path) == ([], [], [])


def test_files_that_go_while_they_are_listed_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        snapshots.write(tmp_path, step, 0.1, 0.1, [], {})
    honest = snapshots.steps

    def listed(folder: Path) -> list[int]:
        there = honest(folder)
        snapshots.moment_file(folder, 1).unlink(missing_ok=True)
        return there

    monkeypatch.setattr(snapshots, "steps", listed)
    assert [moment.step for moment in snapshots.Reader(tmp_path).read().moments] == [2]


def test_what_is_recorded_says_whose_rows_it_is(pixels: torch.Tensor) -> None:
    module = tiny_bundle(global_pool="avg").module
    found, weights = taken(module, pixels), capture(module, pixels).attention
    assert found["reads"].item() == "patches"
    assert taken(tiny_bundle().module, pixels)["reads"].item() == "class token"
    row = weights[1][:, :, 1:, 1:].astype(float).mean(axis=2)
    assert found["thumbnail_max"][:, 1] == pytest.approx(row.max(axis=-1))

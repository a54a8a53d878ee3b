"""Look inside a model from Python: attention on a picture, the module tree and the fully connected layers as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vitscope.errors import BadImage, RequestError
from vitscope.inspection.prediction import probabilities
from vitscope.inspection.probe import Probed, attention_kind, capture
from vitscope.inspection.structure import structure
from vitscope.inspection.weights import linears, spectrum, summarize
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import ImageLike
from vitscope.workflows.load import ModelRef, WorkspaceRef, load, locate
from vitscope.workflows.moments import Moments
from vitscope.workflows.predict import Prediction, answered
from vitscope.workflows.views import Views

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Inside", "Views", "inspect", "probe"]


@dataclass(frozen=True)
class Inside:
    """What `inspect` found. The two tables are computed when first asked for, from the weights as they are then.

    `attention` is a list with a float32 array a layer, first layer first; rows are queries and sum to 1. Its shape
    depends on `attention_kind`:

    - "global": (heads, N, N) over the N tokens; prefix tokens (class token, registers) first, then patches row by row.
    - "window" (swin): (W, heads, M, M), inside each of W windows of M patches.
    - "channel" (xcit): (heads, C, C), the C channels of a head among each other.
    - "class" (cait): (heads, 1, N), what the class token looks at in the last layers. The layers before mix their heads
      after the softmax, so that their rows are no shares; `probe(…, activations=["blocks.0.attn.attn_drop"])` has them.
    - "none": the list is empty, and `attention_reason` says why.
    """

    pixels: np.ndarray | None  # (1, 3, H, W) float32 as fed to the module; None without an image
    attention: list[np.ndarray]
    attention_kind: str
    attention_reason: str
    prediction: Prediction | None
    bundle: ModelBundle = field(repr=False)
    initial: Mapping[str, torch.Tensor] | None = field(repr=False)  # the weights before training, where they are known

    @cached_property
    def structure(self) -> pd.DataFrame:
        """A row a module that a picture passes, in the order of the calls; the index is its name, "" the model.

        Columns: type, parent, depth, parameters (with all below), own_parameters, flops (2 × multiply-adds of one
        picture, with all below), input_shape, output_shape.
        """
        import pandas as pd

        size = self.bundle.preprocess.size
        pixels = torch.zeros(1, 3, size, size) if self.pixels is None else torch.from_numpy(self.pixels)
        nodes = [node for node in structure(self.bundle.module, pixels).nodes if node.id not in ("image", "result")]
        names = ("type", "parent", "depth", "parameters", "own_parameters", "flops", "input_shape", "output_shape")
        rows = [{name: getattr(node, name) for name in names} for node in nodes]
        return pd.DataFrame(rows, index=pd.Index([node.id for node in nodes], name="id"), columns=list(names))

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row a fully connected layer; the index is its module's name.

        Columns: role (qkv, proj, fc1, fc2, head, patch_embed, other), block, outputs, inputs, mean, std, min, max,
        frobenius, spectral (largest singular value), effective_rank, rank_share (of the smaller side), near_zero (share
        of weights below a thousandth of the largest), change (‖now − start‖ / ‖start‖) and cosine (between both); the
        last two are NaN where the weights at the start are not known.
        """
        import pandas as pd

        found = linears(self.bundle.module)
        rows = []
        for layer in found:
            before = self.initial.get(f"{layer.id}.weight") if self.initial is not None else None
            if before is not None and before.flatten(1).shape != layer.weight.shape:
                before = None
            told = summarize(layer.weight, before.flatten(1) if before is not None else None)
            numbers = {**spectrum(layer.weight)._asdict(), **told._asdict()}
            names = ("mean", "std", "min", "max", "frobenius", "spectral", "effective_rank", "rank_share", "near_zero")
            rows.append(
                {"role": layer.role, "block": layer.block, "outputs": layer.weight.shape[0]}
                | {"inputs": layer.weight.shape[1], **{name: numbers[name] for name in names}}
                | {"change": told.change.relative_frobenius if told.change else np.nan}
                | {"cosine": told.change.cosine if told.change else np.nan}
            )
        table = pd.DataFrame(rows, index=pd.Index([layer.id for layer in found], name="id"))
        return table.astype({"block": "Int64"}) if rows else table


def inspect(
    model: ModelRef,
    image: ImageLike | None = None,
    *,
    workspace: WorkspaceRef = None,
    initial: ModelRef | None = None,
) -> Inside:
    """Look inside a model.

    Args:
        model: a run, a path or a bundle, as `load` takes it.
        image: a path, a Pillow picture or an (H, W, 3) uint8 array, for attention and prediction.
        workspace: where runs are looked for.
        initial: the model before training, for the change of the layers; by default what the run recorded.

    Returns:
        `Inside`: `.pixels .attention .attention_kind .structure .layers .prediction`.

    Raises:
        RequestError: the model cannot be opened, or the image not be used.
    """
    bundle = load(model, workspace)
    before = _initial(model, workspace) if initial is None else load(initial, workspace).module.state_dict()
    if image is None:
        kind, reason = attention_kind(bundle.module)
        return Inside(None, [], kind, reason, None, bundle, before)
    try:
        pixels = bundle.preprocess(image)[None]
    except BadImage as error:
        raise RequestError(f"{image if isinstance(image, (str, Path)) else 'The image'}: {error}.") from None
    probed = capture(bundle.module, pixels)
    attention = [weights[0] for weights in probed.attention]
    path = str(image) if isinstance(image, (str, Path)) else None
    prediction = answered(path, probabilities(probed.logits[0]), bundle.classes)
    return Inside(pixels.numpy(), attention, probed.kind, probed.reason, prediction, bundle, before)


def probe(
    module: nn.Module | ModelBundle,
    pixels: torch.Tensor | np.ndarray,
    *,
    attention: bool = True,
    activations: Sequence[str] = (),
) -> Probed:
    """Run any timm module once and tell what happened inside: `.logits .attention .kind .reason .activations`.

    Args:
        module: the module, or a bundle. It is left exactly as it was: modes, flags, hooks, weights, generators.
        pixels: (B, 3, S, S) as the module is fed, normalised (`bundle.preprocess` makes (3, S, S) of a picture).
        attention: whether to capture it. `.attention` has a float32 array a layer, as in `Inside.attention` with the
            images as a further first axis.
        activations: names of modules (as `named_modules` gives them) whose output is wanted.

    Raises:
        RequestError: no module has such a name.
    """
    bare = module.module if isinstance(module, ModelBundle) else module
    return capture(bare, torch.as_tensor(pixels), attention=attention, activations=activations)


def _initial(model: ModelRef, workspace: WorkspaceRef) -> Mapping[str, torch.Tensor] | None:
    if isinstance(model, ModelBundle):
        return None
    return Moments(locate(model, workspace)).initial

"""A small model of every family, by its own arguments as a run description has them; whole where a name fixes them.

Beside the families' own names there are kinds that differ inside a family (`swin` and `swin_big_windows` would).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest


class Small(NamedTuple):
    name: str
    image_size: int
    kwargs: dict[str, Any]


SHORT = ("swin", "levit", "hiera", "davit", "shvit", "deit/distilled")  # those that differ most, for `make test`

_BLOCKS: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
_VIT: dict[str, Any] = {"patch_size": 8, **_BLOCKS}
_FOUR: dict[str, Any] = {"depths": [1, 1, 1, 1]}
_WIDTHS = [16, 16, 32, 32]

SMALL: dict[str, Small] = {
    "dinov2": Small("vit_small_patch14_reg4_dinov2", 32, _VIT),
    "dinov3": Small("vit_small_patch16_dinov3", 32, _VIT),
    "siglip": Small("vit_base_patch16_siglip_224", 32, _VIT),
    "clip": Small("vit_base_patch16_clip_224", 32, _VIT),
    "relpos": Small("vit_relpos_small_patch16_224", 32, _VIT),
    "rope": Small("vit_small_patch16_rope_mixed_224", 32, _VIT),
    "rope/pe": Small("vit_pe_core_tiny_patch16_384", 32, _VIT),
    "hybrid": Small("vit_tiny_r_s16_p8_224", 32, {"patch_size": 1, **_BLOCKS}),
    "vit": Small("vit_tiny_patch16_224", 32, _VIT),
    "vit/convstem": Small("vit_tiny_convstem", 32, _VIT),
    "vit/poolstem": Small("vit_tiny_poolstem", 32, _VIT),
    "vit/differential": Small("vit_dwee_patch16_reg1_gap_256", 32, _VIT),
    "flexivit": Small("flexivit_small", 32, _VIT),
    "naflexvit": Small("naflexvit_base_patch16_gap", 32, _VIT),
    "naflexvit/map": Small("naflexvit_base_patch16_map", 32, _VIT),
    "aimv2": Small("aimv2_large_patch14_224", 32, _VIT),
    "deit": Small("deit_tiny_patch16_224", 32, _VIT),
    "deit/distilled": Small("deit_tiny_distilled_patch16_224", 32, _VIT),
    "deit3": Small("deit3_small_patch16_224", 32, _VIT),
    "beit": Small("beit_base_patch16_224", 32, _VIT),
    "beit/v2": Small("beitv2_base_patch16_224", 32, _VIT),
    "eva": Small("eva02_tiny_patch14_224", 32, _VIT),
    "samvit": Small(
        "samvit_base_patch16_224", 32, {"global_attn_indexes": [1], "window_size": 2, "neck_chans": 16, **_VIT}
    ),
    "deepseek_vit": Small("deepseek_vit_412m", 48, _VIT),
    "gemma4_vit": Small(
        "gemma4_vit_167m", 48, {"head_dim": 16, "intermediate_size": 64, "position_embedding_size": 64, **_VIT}
    ),
    "qwen3_vit": Small("qwen3_vit_88m", 32, {"pos_embed_grid_size": 4, **_VIT}),
    "vitamin": Small("vitamin_small_224", 32, {"depth": 1}),
    "cait": Small("cait_xxs24_224", 32, _VIT),
    "xcit": Small("xcit_nano_12_p8_224", 32, _BLOCKS),
    "convit": Small("convit_tiny", 32, {"local_up_to_layer": 1, **_VIT}),
    "crossvit": Small("crossvit_tiny_240", 240, {"embed_dim": [16, 32], "num_heads": [2, 2], "depth": [[1, 1, 0]]}),
    "tnt": Small(
        "tnt_s_patch16_224",
        32,
        {"embed_dim": 32, "inner_dim": 8, "depth": 2, "num_heads_inner": 2, "num_heads_outer": 2},
    ),
    "volo": Small("volo_d1_224", 32, {}),
    "pit": Small("pit_ti_224", 32, {"base_dims": [16, 16, 16], "depth": [1, 1, 1], "heads": [1, 2, 4]}),
    "levit": Small(
        "levit_128s", 64, {"embed_dim": [32, 32, 32], "key_dim": 8, "num_heads": [2, 2, 2], "depth": [1, 1, 1]}
    ),
    "levit/conv": Small(
        "levit_conv_256d", 64, {"embed_dim": [32, 32, 32], "key_dim": 8, "num_heads": [2, 2, 2], "depth": [1, 1, 1]}
    ),
    "visformer": Small(
        "visformer_tiny", 32, {"init_channels": 16, "embed_dim": 32, "depth": [1, 1, 1], "num_heads": 2}
    ),
    "swin": Small(
        "swin_tiny_patch4_window7_224",
        32,
        {"patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
    ),
    "swinv2_cr": Small(
        "swinv2_cr_tiny_224",
        32,
        {"patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
    ),
    "swinv2": Small(
        "swinv2_tiny_window8_256",
        32,
        {"patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
    ),
    "hiera": Small("hiera_tiny_224", 64, {"embed_dim": 16, "stages": [1, 1, 1, 1], "num_heads": 1}),
    "hiera/sam2": Small(
        "sam2_hiera_tiny",
        64,
        {
            "embed_dim": 16,
            "stages": [1, 2, 2, 1],
            "num_heads": 1,
            "global_att_blocks": [2, 4],
            "window_spec": [4, 2, 2, 2],
            "global_pos_size": [4, 4],
        },
    ),
    "mvitv2": Small("mvitv2_tiny", 64, {}),
    "pvt_v2": Small("pvt_v2_b0", 64, {"embed_dims": _WIDTHS, "num_heads": [1, 1, 2, 2], **_FOUR}),
    "twins": Small(
        "twins_svt_small",
        64,
        {"embed_dims": _WIDTHS, "depths": [1, 2, 1, 1], "num_heads": [1, 1, 2, 2], "wss": [4, 4, 4, 4]},
    ),
    "twins/pcpvt": Small(
        "twins_pcpvt_small", 64, {"embed_dims": _WIDTHS, "num_heads": [1, 1, 2, 2], "mlp_ratios": [2, 2, 2, 2], **_FOUR}
    ),
    "coat": Small(
        "coat_lite_tiny",
        64,
        {"embed_dims": [32, 32, 32, 32], "serial_depths": [1, 1, 1, 1], "num_heads": 8, "mlp_ratios": [2, 2, 2, 2]},
    ),
    "davit": Small("davit_tiny", 32, {"embed_dims": [16, 32], "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}),
    "gcvit": Small("gcvit_xxtiny", 64, {"embed_dim": 16}),
    "nest": Small("nest_tiny", 32, {}),
    "tiny_vit": Small(
        "tiny_vit_5m_224",
        64,
        {"embed_dims": [16, 32, 32, 32], "num_heads": [1, 2, 2, 2], "window_sizes": [4, 4, 4, 4], **_FOUR},
    ),
    "maxvit": Small(
        "test_maxvit", 64, {"embed_dim": [32, 32], "depths": [1, 1], "block_type": ["M", "M"], "stem_width": 16}
    ),
    "coatnet": Small("test_coatnet", 64, {"embed_dim": [16, 32, 32, 32], "stem_width": 16, **_FOUR}),
    "nextvit": Small("nextvit_small", 64, {"depths": [1, 1, 5, 1]}),
    "caformer": Small("caformer_s18", 64, {}),
    "efficientformerv2": Small(
        "efficientformerv2_s0", 64, {"depths": [1, 1, 1, 2], "embed_dims": _WIDTHS, "num_vit": 1}
    ),
    "efficientformer": Small("efficientformer_l1", 224, {"depths": [1, 1, 1, 2], "embed_dims": _WIDTHS}),
    "efficientvit_mit": Small(
        "efficientvit_b0",
        64,
        {"widths": [8, 16, 32, 32, 32], "depths": [1, 1, 1, 1, 1], "head_dim": 16, "head_widths": [32, 32]},
    ),
    "efficientvit_msra": Small(
        "efficientvit_m0",
        64,
        {
            "embed_dim": [16, 32, 32],
            "key_dim": [8, 8, 8],
            "depth": [1, 1, 1],
            "num_heads": [2, 2, 2],
            "window_size": [4, 4, 4],
        },
    ),
    "fastvit": Small("fastvit_sa12", 64, {"embed_dims": _WIDTHS, "layers": [1, 1, 1, 1]}),
    "edgenext": Small("edgenext_xx_small", 64, {"dims": _WIDTHS, "depths": [1, 1, 2, 2], "heads": [2, 2, 2, 2]}),
    "mobilevitv2": Small("mobilevitv2_050", 64, {}),
    "mobilevit": Small("mobilevit_xxs", 64, {}),
    "swiftformer": Small("swiftformer_xs", 64, {"layers": [1, 1, 1, 1], "embed_dims": _WIDTHS}),
    "shvit": Small(
        "shvit_s1", 64, {"embed_dim": [16, 32, 32], "partial_dim": [8, 8, 8], "qk_dim": [8, 8, 8], "depth": [1, 1, 1]}
    ),
    "iformer": Small("iformer_t", 64, {"dims": [32, 32, 32, 32], "depths": [1, 1, 9, 6]}),
    "lowformer": Small(
        "lowformer_b0",
        64,
        {"width_list": [8, 16, 16, 32, 32], "depth_list": [0, 1, 1, 1, 1], "head_widths": [32, 32]},
    ),
}

# Parameters for a test of each: all but a few are run by `make test-long`.
EACH = [kind if kind in SHORT else pytest.param(kind, marks=pytest.mark.long) for kind in SMALL]

/** The documents that Inside draws, as docs/dashboard.md describes them. */
import type { WireNumber } from "../api";
import type { Packed } from "../documents";

export type Kind = "global" | "window" | "channel" | "class" | "none";

export interface Moment {
  id: string;
  step: number;
  epoch: number | null;
  /** A checkpoint answers everything; a snapshot only the two `timeline` documents. */
  is_checkpoint: boolean;
  label: string;
}

export interface Overview {
  model: {
    name: string;
    family: string;
    parameters: number;
    flops: number;
    image_size: number | [number, number];
    /** Null where the model cuts no patches. */
    patch_size: [number, number] | null;
    grid: [number, number] | null;
    prefix_tokens: number;
    has_class_token: boolean;
    /** Of which tokens the classifier is told: whose maps are shown first. */
    reads?: "class token" | "patches" | null;
    embed_dim: number | null;
    depth: number | null;
    num_heads: number | null;
    classes: string[];
  };
  attention: { kind: Kind; reason: string };
  moments: Moment[];
  pinned: { id: string; label: string | null; split: string }[];
  run: { id: string; name: string; status: string; step: number; total_steps: number | null } | null;
}

export interface StructureNode {
  id: string;
  name: string;
  type: string;
  parent: string | null;
  depth: number;
  parameters: number;
  own_parameters: number;
  flops: number;
  input_shape: number[];
  output_shape: number[];
  order: number;
  fold: string | null;
}

export interface StructureEdge {
  source: string;
  target: string;
  shape: number[];
  kind: "flow" | "residual";
}

export interface Fold {
  id: string;
  first: string;
  count: number;
  members: string[];
}

export interface Structure {
  nodes: StructureNode[];
  edges: StructureEdge[];
  folds: Fold[];
}

export type Role = "qkv" | "proj" | "fc1" | "fc2" | "head" | "patch_embed" | "other";

export interface LayerName {
  index: number;
  id: string;
  role: Role;
  block: number | null;
  shape: [number, number];
}

export interface Layer extends LayerName {
  parts: [string, number, number][];
  mean: WireNumber;
  std: WireNumber;
  min: WireNumber;
  max: WireNumber;
  frobenius: WireNumber;
  spectral: WireNumber;
  effective_rank: WireNumber;
  rank_share: WireNumber;
  near_zero: WireNumber;
  histogram: { edges: Packed; counts: Packed };
  /** null, as the spectral norm and the effective rank, where not known yet */
  singular_values: Packed | null;
  singular_count: number;
  change: { relative_frobenius: WireNumber; cosine: WireNumber } | null;
}

export interface Layers {
  layers: Layer[];
  is_complete?: boolean;
}

/** Part of a weight matrix: `cell` weights, down and across, are one number. */
export interface Tile {
  index: number;
  shape: [number, number];
  rows: [number, number];
  cols: [number, number];
  cell: [number, number];
  mean: Packed;
  low: Packed | null; // null where a cell is one weight
  high: Packed | null;
  scale: number;
  biases: Packed | null;
}

export interface Filters {
  patch: { count: number; height: number; width: number; pixels: Packed | null; reason: string };
  scale: number;
  position: { grid: [number, number]; similarity: Packed } | null;
  position_reason: string;
}

export interface Picture {
  id: string;
  label: string | null;
  width: number;
  height: number;
  pixels: string;
  mask: Packed | null;
}

export interface Guess {
  label: string;
  probability: number;
}

export interface Score {
  rollout_auc: WireNumber;
  rollout_mass: WireNumber;
  object_share: WireNumber;
}

export interface AttentionSummary {
  image: Picture;
  prediction: Guess[];
  kind: Kind;
  layers: number;
  heads: number[];
  tokens: number;
  prefix_tokens: number;
  grid: [number, number];
  thumbnails: Packed | null;
  thumbnail_max: Packed | null;
  rollout: Packed | null;
  rollout_reason: string;
  entropy: Packed | null;
  distance: Packed | null;
  class_share: Packed | null;
  score: Score | null;
}

export interface AttentionLayer {
  layer: number;
  kind: Kind;
  weights: Packed;
  windows?: [number, number];
  shift?: number | [number, number];
}

export interface HeadsDocument {
  count: number;
  /** Where not: an answer so far; asked again, it goes on. */
  is_complete?: boolean;
  entropy: Packed | null;
  distance: Packed | null;
  class_share: Packed | null;
  entropy_std: Packed | null;
  distance_std: Packed | null;
  class_share_std: Packed | null;
  max_entropy: number;
  largest_distance: number;
  score: { rollout_auc: WireNumber; object_share: WireNumber; count: number } | null;
}

export interface TimelineMoment {
  step: number;
  epoch: number | null;
  thumbnails: Packed | null;
  thumbnail_max: Packed | null;
  rollout: Packed | null;
  rollout_max: Packed | null;
  entropy: Packed | null;
  distance: Packed | null;
  class_share: Packed | null;
  prediction: Guess[];
}

export interface Timeline {
  image: Picture;
  moments: TimelineMoment[];
}

export interface TimelineLayersMoment {
  step: number;
  epoch: number | null;
  frobenius: Packed;
  effective_rank: Packed | null;
  change: Packed | null;
  histogram: Packed;
  edges: Packed;
  maps: Packed;
}

export interface TimelineLayers {
  layers: LayerName[];
  moments: TimelineLayersMoment[];
}

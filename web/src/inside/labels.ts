/** What is written at modules and edges. */
import { compact } from "./numbers";
import type { Fold, StructureNode } from "./types";

/** "257×384": without the batch of one. */
export function shapeText(shape: readonly number[]): string {
  return (shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape).join("×");
}

/** "606 MFLOPs"; nothing for none. */
export function flopsText(flops: number): string {
  return flops ? `${compact(flops)}FLOPs`.replace(/(\d)F/, "$1 F") : "";
}

/** "0…11", or "blocks.0…11" where no module of that name is around them. */
export function stackName(fold: Fold, node: Pick<StructureNode, "name">): string {
  const number = (id: string) => id.slice(id.lastIndexOf(".") + 1);
  return `${node.name.slice(0, node.name.lastIndexOf(".") + 1)}${number(fold.members[0]!)}…${number(fold.members.at(-1)!)}`;
}

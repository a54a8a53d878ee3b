/** Marks of an axis from zero to `top`: about four, at round numbers. */
export function ticks(top: number): number[] {
  if (!(top > 0) || !Number.isFinite(top)) return [0];
  const rough = top / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((f) => f * power).find((each) => each >= rough) ?? rough;
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/**
 * Exponential smoothing without bias, the same curve at every resolution.
 *
 *     s_k = Σ_i d_i·x_i·w_i / Σ_i d_i·w_i,   each value's weight w fading by `beta` a unit
 *
 * A unit is one recorded value, or a thousandth of all of them where there are more: so a number on the slider means
 * the same for a short run as TensorBoard's, and for a long one it still smooths. A point that stands for n values fades
 * what came before by beta^(n / unit) and weighs 1 − that. What is no number is left out and gives none.
 */
const UNITS = 1000;

export function smooth(values: number[], n: number[], count: number, beta: number): number[] {
  if (beta <= 0) return values;
  const unit = Math.max(1, count / UNITS);
  let sum = 0;
  let weight = 0;
  return values.map((value, i) => {
    if (!Number.isFinite(value)) return NaN;
    const fade = beta ** (n[i]! / unit);
    sum = fade * sum + (1 - fade) * value;
    weight = fade * weight + (1 - fade);
    return sum / weight;
  });
}

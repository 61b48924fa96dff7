// Arithmetic on codes. A code is kept along the principal directions of the training codes, centred on their mean.

/** The parts of a method's `axes` file: float32 rows of length d. */
export function space(buffer, d, classes) {
  const rows = new Float32Array(buffer);
  const row = (k, n = 1) => rows.subarray(k * d, (k + n) * d);
  return {
    d,
    mean: row(0),
    axes: row(1, d),
    spread: row(d + 1),
    low: row(d + 2),
    high: row(d + 3),
    averages: Array.from({ length: classes }, (_, k) => row(d + 4 + k)),
  };
}

/** Codes of n images along the principal directions, from their 8-bit levels. */
export function fromLevels(levels, { d, low, high }) {
  const codes = new Float32Array(levels.length);
  for (let k = 0; k < levels.length; k++) {
    const j = k % d;
    codes[k] = low[j] + ((high[j] - low[j]) * levels[k]) / 255;
  }
  return codes;
}

/** A network's code -> the code along the principal directions. */
export function along(code, { d, mean, axes }) {
  const result = new Float32Array(d);
  for (let j = 0; j < d; j++) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (code[i] - mean[i]) * axes[j * d + i];
    result[j] = sum;
  }
  return result;
}

/** Codes along the principal directions [n * d] -> codes as the networks take them. */
export function whole(codes, { d, mean, axes }) {
  const result = new Float32Array(codes.length);
  for (let start = 0; start < codes.length; start += d) {
    const to = result.subarray(start, start + d);
    to.set(mean);
    for (let j = 0; j < d; j++) {
      const weight = codes[start + j];
      if (weight === 0) continue;
      for (let i = 0; i < d; i++) to[i] += weight * axes[j * d + i];
    }
  }
  return result;
}

const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);

/** The code at t in [0, 1] between two: on a straight line, or turning about the mean of the codes. */
export function between(a, b, t, spherical) {
  let [first, second] = [1 - t, t];
  if (spherical) {
    const lengths = Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(Math.max(-1, Math.min(1, dot(a, b) / (lengths || 1))));
    // for parallel or opposite codes there is no such turn, and the line is taken
    if (Math.sin(angle) > 1e-4) {
      first = Math.sin((1 - t) * angle) / Math.sin(angle);
      second = Math.sin(t * angle) / Math.sin(angle);
    }
  }
  return a.map((value, k) => first * value + second * b[k]);
}

/** Codes [n * d] of which the first `kept` numbers are kept, each in so many bits between low and high. */
export function squeeze(codes, { d, low, high }, kept, bits) {
  const steps = 2 ** bits - 1;
  return codes.map((value, k) => {
    const j = k % d;
    if (j >= kept) return 0;
    const range = high[j] - low[j] || 1;
    const level = Math.max(0, Math.min(steps, Math.round(((value - low[j]) / range) * steps)));
    return low[j] + (range * level) / steps;
  });
}

/** Positions of the k codes in `codes` [n * d] with the largest cosine to a code, nearest first. */
export function nearest(code, codes, k, except = -1) {
  const d = code.length;
  const n = codes.length / d;
  const scored = [];
  for (let m = 0; m < n; m++) {
    if (m === except) continue;
    let product = 0;
    let square = 0;
    for (let j = m * d, i = 0; i < d; i++, j++) {
      product += code[i] * codes[j];
      square += codes[j] * codes[j];
    }
    scored.push([product / Math.sqrt(square || 1), m]);
  }
  return scored
    .sort((a, b) => b[0] - a[0])
    .slice(0, k)
    .map(([, m]) => m);
}

/** Class and probability from logits [classes]. */
export function verdict(logits) {
  const top = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - top), 0);
  return { label: logits.indexOf(top), probability: 1 / sum };
}

export const meanError = (a, b) => a.reduce((sum, value, k) => sum + Math.abs(value - b[k]), 0) / a.length;

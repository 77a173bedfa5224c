// Random numbers from a seed (mulberry32): a case comes again with its seed.
export function random(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => next() % n;
  const r = {
    below,
    chance: (percent) => below(100) < percent,
    pick: (list) => list[below(list.length)],
    hex: (n) => Array.from({ length: n }, () => below(256).toString(16).padStart(2, '0')).join(''),
    big: (bits) => (bits === 0 ? 0n : BigInt(`0x${r.hex(Math.ceil(bits / 8))}`) >> BigInt(Math.ceil(bits / 8) * 8 - bits)),
    shuffle: (list) => list.map((v) => [next(), v]).sort((x, y) => x[0] - y[0]).map(([, v]) => v),
  };
  return r;
}

/** What f returns, or null where it throws. */
export function attempt(f) {
  try {
    return f() ?? null;
  } catch {
    return null;
  }
}

/* The layer: all the arithmetic of the explorable page, and nothing else. Pure functions; no page, no drawing.

   Symbols are the book's. A point x_i with label y_i (+1 or -1) enters as a folded token z_i = y_i x_i. A classifier w
   answers sign <w, x>. m_i = <w, z_i> is its score (in the book
   also: its margin): negative where w gets it wrong. R is the longest token.
   One layer turns w into w + step * sum_i a_i z_i, where a_i is the attention that it pays to token i:
   look most at the examples you get wrong, and step toward them. The tests hold every function against icl_lib. */
(function (root) {
  "use strict";

  const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  const length = (a) => Math.sqrt(dot(a, a));

  /* z_i = y_i x_i. With an intercept every point has a third coordinate, 1, whose weight moves the line off the origin. */
  const fold = (points, intercept) =>
    points.map((p) => (intercept ? [p.y * p.x[0], p.y * p.x[1], p.y] : [p.y * p.x[0], p.y * p.x[1]]));

  const radius = (z) => Math.max(0, ...z.map(length));
  const margins = (w, z) => z.map((token) => dot(w, token));

  /* log of the mean of e^(-m_i): the potential phi, the logarithm of the exponential loss L. The largest term is taken
     out first, so that nothing overflows, however wrong w is. */
  function logMeanExp(m) {
    const worst = Math.max(...m.map((value) => -value));
    return worst + Math.log(m.reduce((sum, value) => sum + Math.exp(-value - worst), 0) / m.length);
  }

  /* The mean of log(1 + e^(-m_i)), without overflow for the same reason. */
  const logisticLoss = (m) =>
    m.reduce((sum, value) => sum + Math.max(-value, 0) + Math.log1p(Math.exp(-Math.abs(value))), 0) / m.length;

  const logLoss = (m, loss) => (loss === "logistic" ? Math.log(logisticLoss(m)) : logMeanExp(m));

  /* The attention a_i on each token, and what is left for the sink; together they sum to 1.
       exponential         a = softmax(-m)                                    normalized gradient descent on L
       exponential, sink   the same softmax with one more score, 0            gradient descent on log(1 + sum_i e^(-m_i))
       logistic            each token against a sink of its own, all / n      gradient descent on the logistic loss */
  function attention(m, layer) {
    let weights;
    if (layer.loss === "logistic") {
      weights = m.map((value) => 1 / (1 + Math.exp(value)) / m.length);
      return { weights, sink: m.reduce((sum, value) => sum + 1 / (1 + Math.exp(-value)), 0) / m.length };
    }
    const worst = Math.max(...m.map((value) => -value), layer.sink ? 0 : -Infinity);
    weights = m.map((value) => Math.exp(-value - worst));
    const sink = layer.sink ? Math.exp(-worst) : 0;
    const total = sink + weights.reduce((sum, value) => sum + value, 0);
    return { weights: weights.map((value) => value / total), sink: sink / total };
  }

  /* What the head reads: sum_i a_i z_i. */
  const read = (weights, z) => z[0].map((_, k) => z.reduce((sum, token, i) => sum + weights[i] * token[k], 0));

  /* Layer number t = 0, 1, ... With momentum the state also holds a velocity v, of which t / (t + 1) is carried on. */
  function step(state, z, layer, t) {
    const g = read(attention(margins(state.w, z), layer).weights, z);
    if (!layer.momentum) return { w: state.w.map((value, k) => value + layer.step * g[k]), v: state.v };
    const v = state.v.map((value, k) => (t / (t + 1)) * (value + g[k]));
    return { w: state.w.map((value, k) => value + layer.step * (v[k] + g[k])), v };
  }

  /* w after 0, 1, ..., depth layers. */
  function path(z, layer, depth) {
    let state = { w: z[0].map(() => 0), v: z[0].map(() => 0) };
    const all = [state.w];
    for (let t = 0; t < depth; t++) {
      state = step(state, z, layer, t);
      all.push(state.w);
    }
    return all;
  }

  /* min_i <w, z_i> / ||w||, the distance of the worst point from the boundary; there is none at w = 0. */
  const normalizedMargin = (w, z) => (length(w) > 0 ? Math.min(...margins(w, z)) / length(w) : NaN);

  /* The exact max margin, by looking everywhere it can be. The best direction is that of the point nearest to 0 in the
     convex hull of the tokens; that point is a token, or lies on a line through two, or (in space) a plane through
     three. So try all of these directions and keep the one with the largest margin. Returns null if none is positive:
     no direction separates the tokens. */
  function maxMargin(z) {
    const d = z[0].length, tiny = 1e-9 * radius(z);
    let best = tiny, direction = null;
    function consider(u) {
      const size = length(u);
      if (!(size > 0)) return;
      let least = Infinity;
      for (const token of z) {
        let m = 0;
        for (let k = 0; k < d; k++) m += u[k] * token[k];
        if (m < least && (least = m) <= best * size) return;
      }
      best = least / size;
      direction = u.map((value) => value / size);
    }
    const toward = (u, a) => (dot(u, a) < 0 ? u.map((value) => -value) : u);
    z.forEach((a, i) => {
      consider(a);
      for (let j = 0; j < i; j++) {
        const b = z[j], side = a.map((value, k) => value - b[k]), square = dot(side, side);
        if (!(square > 0)) continue; // duplicates
        if (d === 2) {
          consider(toward([-side[1], side[0]], a));
          continue;
        }
        const share = dot(a, side) / square; // the foot of the perpendicular from 0
        consider(a.map((value, k) => value - share * side[k]));
        for (let l = 0; l < j; l++) {
          const c = z[l], s = side, r = [a[0] - c[0], a[1] - c[1], a[2] - c[2]];
          consider(toward([s[1] * r[2] - s[2] * r[1], s[2] * r[0] - s[0] * r[2], s[0] * r[1] - s[1] * r[0]], a));
        }
      }
    });
    return direction && { direction, margin: best };
  }

  /* What is proved at depth T, or null where the book proves nothing. gamma: the max margin, null if not separable.
     c = step * R^2. Theorems "Descent" (0 < c < 2), "Margin rate" and "Momentum squares the depth" (0 < c <= 1). */
  const plain = (layer) => layer.loss === "exponential" && !layer.sink;
  const relative = (z, layer) => layer.step * radius(z) ** 2;
  const near = 1e-12; // c is computed, and may miss 1 by rounding

  function lossBound(z, layer, gamma) {
    const c = relative(z, layer), rate = c * (1 - c / 2) * (gamma / radius(z)) ** 2;
    if (gamma === null || !plain(layer) || layer.momentum || !(c < 2 - near)) return null;
    return (T) => -rate * T; // log L(w_T) <= -step (1 - step R^2 / 2) gamma^2 T
  }

  function marginBound(z, layer, gamma) {
    const c = relative(z, layer), R = radius(z), log = Math.log(z.length);
    if (gamma === null || !plain(layer) || !(c <= 1 + near)) return null;
    if (layer.momentum) return (T) => gamma - (4 * R * R * log) / (gamma * c * T * (T + 3));
    return (T) => gamma - (R * R * (log + c / 2)) / (gamma * c * T);
  }

  root.Layer = {
    dot, length, fold, radius, margins, logMeanExp, logisticLoss, logLoss, attention, read, step, path,
    normalizedMargin, maxMargin, lossBound, marginBound,
  };
})(this);

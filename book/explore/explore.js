/* The explorable page: what is seen, touched and typed. The arithmetic is in layer.js.

   `state` says all that a link can share. `compute` turns it into numbers (`now`), `draw` turns those into the page;
   every event changes the state and calls `update`. No library, no network, no modules: it works from a folder. */
(function () {
  "use strict";
  const home = document.getElementById("explore"), L = window.Layer;
  if (!home || !L) return;

  const MOST = 60, DEEPEST = 1000, EDGE = 1.5, GRID = 0.005;
  const STEPS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 1.9, 2.5, 4, 6, 8, 12, 16];
  const SWITCHES = ["momentum", "sink", "intercept"], STOPS = [];
  for (let T = 0; T < DEEPEST; T = Math.max(T + 1, Math.round(T * 1.05))) STOPS.push(T);
  STOPS.push(DEEPEST);

  const THEOREMS = {
    descent: ["Descent", "notebooks/05_depth_is_optimisation.html#thm-descent"],
    rate: ["Margin rate", "notebooks/05_depth_is_optimisation.html#thm-margin-rate"],
    anyStep: ["Any step finds the direction", "notebooks/05_depth_is_optimisation.html#prop-any-step"],
    momentum: ["Momentum squares the depth", "notebooks/12_acceleration.html#thm-momentum"],
    sink: ["another loss", "notebooks/04_one_head_one_step.html#thm-sink-loss"],
    stuck: ["what the layer does instead", "book/proofs.html#prp-not-separable"],
  };
  const theorem = (name) => h("a", { href: "../../" + THEOREMS[name][1] }, THEOREMS[name][0]);

  /* ---------------------------------------------------------------- what one can start from */

  const PRESETS = {
    easy: {
      name: "Easy", depth: 12,
      plus: [[0.55, 0.75], [0.15, 0.85], [0.9, 0.35], [0.35, 0.3], [1.05, 0.8], [-0.2, 0.65]],
      minus: [[-0.45, -0.6], [-0.95, -0.2], [0.05, -0.85], [-0.7, -0.95], [-0.55, 0.05], [-0.15, -1.1]],
      look: "At depth 0 all halos are alike. Go deeper: attention leaves the points that are safely right and gathers " +
        "on the two diamonds, which hold the margin, and the boundary turns to the dashed line.",
    },
    thin: {
      name: "Thin margin", depth: 30,
      plus: [[0.95, -0.5], [0.75, -0.3], [0.6, 0.2], [0.35, 0.9], [-0.05, 1], [0.9, 0.6], [-0.8, 0.85]],
      minus: [[-0.85, 0.55], [-1.05, 0.2], [-0.4, -0.5], [0.35, -0.8], [0.8, -1]],
      look: "Two points of opposite label leave a narrow corridor, and a narrow corridor takes many layers. Compare " +
        "the loss at depth 100, then switch momentum on: the faint curve is the one before.",
    },
    outlier: {
      name: "One outlier", depth: 1,
      plus: [[-0.3, 0.1], [0, 0.3], [0.15, 0.25], [1.4, 0.05]],
      minus: [[0.3, -0.16], [0, -0.35], [-0.1, -0.22]],
      look: "Token 4 is far out and rightly labelled. One layer is an average, and an average follows the far point, " +
        "at the cost of tokens 1 and 5. Go deeper: attention turns to those that are wrong, and they are won back.",
    },
    hijacked: {
      name: "Hijacked token", depth: 30,
      plus: [[0.05, 0.6], [0.55, -0.3], [0.65, -0.05], [0.6, 0.4], [0.95, 0.5]],
      minus: [[0, -0.55], [-0.5, -0.25], [-0.4, -0.3], [-0.6, 0.25], [0.05, -0.5], [0.7, 0.9]],
      look: "Token 11 is a lie, long and deep in the other camp. By layer 15 it has 28 % of the attention, and keeps it, " +
        "while more and more points turn wrong: count the rings at depths 3 and 100. Then choose the logistic loss.",
    },
    mislabelled: {
      name: "Wrong label", depth: 100,
      plus: [[0.5, 0.55], [0.15, 0.7], [0.75, 0.2], [0.35, 0.95], [0.9, 0.75], [0.6, -0.15]],
      minus: [[-0.5, -0.45], [0.1, -0.75], [-0.75, -0.15], [-0.4, -0.95], [-0.95, -0.6], [0.5, 0.35]],
      look: "No line gets token 12 right along with the rest. So the loss has a floor. With c = 1 depth " +
        "ends in a compromise, with c = 8 it swings for ever. Flip the label of token 12: the floor is gone.",
    },
    sink: {
      name: "A sink calms it", depth: 30, c: 8, from: "thin",
      look: "The step is eight times what theorem Margin rate allows, four times Descent’s limit: attention jumps from side " +
        "to side. Step the depth by one. Then switch the sink on: it shortens the steps, and from about layer 20 on the jumping " +
        "ends. The margin gains by it; the loss at depth 100 does not.",
    },
    long: {
      name: "Long prompt", depth: 100,
      points: "n7c60pbgc8p88a4p489gpacbwpa8dkn2c28p4ga4nbw7sp1cdkpc0bcp1g7on9k74pdkfwnfc90p4wawn985kp5ceonc08kp588cp5c9wp" +
        "ccb4n8k4gp4c8sp7caonb87gn9o58p7cawn6k4wn302sp7wb0n8c6wnb86wp48con7o3wn2s10pbkbgn6s2sncc8wn7c4cn4858n9c4gp8" +
        "0agnf07snb45cp3ocknco68n746k",
      look: "Forty-eight examples. At depth 0 each has two per cent of the attention, at depth 1,000 two of them have most " +
        "of it. Delete any without a diamond: the dashed line does not notice.",
    },
  };

  function initial(id) {
    const preset = PRESETS[id], source = PRESETS[preset.from || id];
    const points = source.points
      ? decodePoints(source.points)
      : [...source.plus.map((x) => ({ x: [...x], y: 1 })), ...source.minus.map((x) => ({ x: [...x], y: -1 }))];
    return {
      preset: id, points, depth: preset.depth, c: preset.c || 1, loss: "exponential", momentum: false, sink: false,
      intercept: false, query: [0.6, -0.75],
    };
  }

  /* ---------------------------------------------------------------- the link */

  const digits = (value) => Math.round((value + EDGE) / GRID).toString(36).padStart(2, "0");
  const place = (two) => {
    const whole = parseInt(two, 36);
    if (!(whole * GRID <= 2 * EDGE + GRID / 2)) throw new Error("a point lies outside the plane");
    return onGrid(whole * GRID - EDGE);
  };
  const onGrid = (value) => Math.round(Math.max(-EDGE, Math.min(EDGE, value)) / GRID) / Math.round(1 / GRID);
  const decodePoints = (text) =>
    (text.match(/.{5}/g) || []).map((five) => ({
      x: [place(five.slice(1, 3)), place(five.slice(3))], y: five[0] === "p" ? 1 : -1,
    }));

  function encode(it) {
    const kind = it.loss[0] + SWITCHES.map((name) => (it[name] ? name[0] : "")).join("");
    const points = it.points.map((p) => (p.y > 0 ? "p" : "n") + digits(p.x[0]) + digits(p.x[1])).join("");
    const which = it.preset ? `s=${it.preset}` : `p=${points}`;
    return `#v=1&${which}&d=${it.depth}&c=${it.c}&k=${kind}&q=${digits(it.query[0])}${digits(it.query[1])}`;
  }

  /* The state of a link; throws an Error that says what is wrong with it. A part that is missing has its default. */
  function decode(hash) {
    const given = new Map(hash.slice(1).split("&").map((part) => part.split("=", 2)));
    const take = (key, form, what) => {
      if (given.has(key) && !form.test(given.get(key))) throw new Error(what);
      return given.get(key);
    };
    if (given.get("v") !== "1") throw new Error("it is not a link of this version of the page");
    const preset = take("s", new RegExp(`^(${Object.keys(PRESETS).join("|")})$`), "its prompt is unknown");
    const it = initial(preset || "easy"), points = take("p", /^([pn][0-9a-z]{4})*$/, "its points are garbled");
    const depth = take("d", /^\d+$/, "its depth is no whole number");
    const c = take("c", /^\d+(\.\d+)?$/, "its step size is no number");
    const kind = take("k", /^[el]m?s?i?$/, "its kind of layer is unknown");
    const query = take("q", /^[0-9a-z]{4}$/, "its query is garbled");
    if (points !== undefined && !preset) {
      if (points.length > 5 * MOST) throw new Error(`it has more than ${MOST} points`);
      Object.assign(it, { points: decodePoints(points), preset: null });
    }
    if (depth) it.depth = Number(depth);
    if (it.depth > DEEPEST) throw new Error(`its depth is above ${DEEPEST}`);
    if (c && !(c >= STEPS[0] && c <= STEPS.at(-1))) throw new Error("its step size is out of range");
    if (c) it.c = STEPS[nearest(STEPS, c)];
    if (kind) {
      it.loss = kind[0] === "l" ? "logistic" : "exponential";
      for (const name of SWITCHES) it[name] = kind.includes(name[0]);
    }
    if (query) it.query = [place(query.slice(0, 2)), place(query.slice(2))];
    return it;
  }

  const nearest = (list, value) =>
    list.reduce((best, one, k) => (Math.abs(one - value) < Math.abs(list[best] - value) ? k : best), 0);

  let state = initial("easy"), selected = null, warning = "", timers = {}, past = [], now = {};

  /* Whether a hash speaks to this page: headings have theirs, and the theme too. */
  const ours = (hash) => hash.length > 1 && !document.getElementById(hash.slice(1));

  function readLink() {
    warning = "";
    if (!ours(location.hash)) return;
    try {
      state = decode(location.hash);
    } catch (error) {
      state = initial("easy");
      warning = `This link could not be read: ${error.message}. Here is the easy prompt instead.`;
    }
    selected = null;
  }

  function writeLink(push) {
    clearTimeout(timers.link);
    const hash = encode(state);
    if (hash === location.hash) return;
    try {
      history[push ? "pushState" : "replaceState"](null, "", hash);
    } catch {
      /* some browsers refuse to for a file; the page works without */
    }
  }

  /* ---------------------------------------------------------------- numbers */

  function compute() {
    const z = L.fold(state.points, state.intercept), R = L.radius(z);
    const layer = {
      loss: state.loss, sink: state.sink && state.loss === "exponential", momentum: state.momentum,
      step: R > 0 ? state.c / (R * R) : 0,
    };
    const key = JSON.stringify([z, layer]);
    if (key !== now.key) {
      /* The curves of the kind of layer before stay as a ghost, as long as the tokens do. */
      const tokens = JSON.stringify(z), before = now.alive && now.tokens === tokens ? now : {};
      const ghost = before.layer && kindOf(before.layer) !== kindOf(layer) ? before : before.ghost;
      if (ghost) ghost.ghost = undefined;
      now = { key, tokens, ghost, c: state.c, z, R, n: z.length, layer, alive: z.length > 0 && R > 0 };
      if (now.alive) {
        const margins = (w) => L.margins(w, z);
        now.path = L.path(z, layer, DEEPEST);
        now.finite = now.path.every((w) => w.every(Number.isFinite));
        now.logLoss = now.path.map((w) => L.logLoss(margins(w), layer.loss));
        now.margin = now.path.map((w) => L.normalizedMargin(w, z));
        now.best = L.maxMargin(z);
        now.gamma = now.best && now.best.margin;
        now.support = now.best
          ? L.margins(now.best.direction, z).map((m) => m <= now.gamma * (1 + 1e-9) + 1e-12)
          : z.map(() => false);
        now.lossBound = L.lossBound(z, layer, now.gamma);
        now.marginBound = L.marginBound(z, layer, now.gamma);
      }
    }
    now.T = state.depth;
    now.w = now.alive ? now.path[now.T] : [0, 0];
    now.m = now.alive ? L.margins(now.w, z) : z.map(() => 0);
    const even = { weights: z.map(() => 1 / z.length), sink: 0 };
    Object.assign(now, z.length ? L.attention(now.m, layer) : even);
    now.pull = z.length ? L.read(now.weights, z) : [0, 0];
    now.learnt = L.length(now.w) > 0;
    now.wrong = now.m.map((m) => now.learnt && m <= 0);
    now.order = now.weights.map((_, i) => i).sort((i, j) => now.weights[j] - now.weights[i]);
  }

  function kindOf(layer) {
    const kinds = [layer.loss === "logistic" && "logistic", layer.momentum && "momentum", layer.sink && "a sink"];
    return kinds.filter(Boolean).join(" and ") || "plain";
  }
  const score = (x) => L.dot(now.w, now.w.length === 3 ? [...x, 1] : x);

  /* ---------------------------------------------------------------- words */

  const percent = (share) => {
    const value = 100 * share;
    if (value > 99 && value < 100) return `${value < 99.95 ? value.toFixed(1) : ">\u00a099.9"}\u00a0%`;
    return `${value >= 9.95 || value === 0 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : "<\u00a00.1"}\u00a0%`;
  };
  const sign = (value) => (value > 0 ? "+1" : "−1");
  const fixed = (value, places = 2) => value.toFixed(places).replace("-", "−");
  const signed = (value) => (value > 0 ? "+" : "") + fixed(value, Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  const raised = (whole) => [...String(whole)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  function fromLog(log, round = Math.round) {
    if (log === -Infinity) return "0"; // a logistic loss can be too small for a number
    const ten = log / Math.LN10;
    let whole = Math.floor(ten), lead = round(10 ** (ten - whole + 1)) / 10;
    if (lead === 10) [whole, lead] = [whole + 1, 1]; // 9.96 is 1.0 of the next power
    return whole > -4 && whole < 4 ? String(Number((lead * 10 ** whole).toPrecision(3))) : `${lead.toFixed(1)}·10${raised(whole)}`;
  }
  const count = (whole) => whole.toLocaleString("en"), layers = (T) => `${count(T)} layer${T === 1 ? "" : "s"}`;

  /* Whether the sentence names a second token. */
  function hasSecond() {
    const { n, weights, order } = now, total = weights.reduce((sum, value) => sum + value, 0);
    return now.learnt && n > 1 && weights[order[0]] >= (1.3 * total) / n && weights[order[1]] > 0.05 * total;
  }

  /* The sentence under the bars, computed from the state. A sink comes first: it may take nearly all. */
  function attentionInWords() {
    const { n, T, order, weights, m, sink, layer } = now, top = order[0], next = count(T + 1);
    if (!n) return "There is no token to look at.";
    const total = weights.reduce((sum, value) => sum + value, 0);
    const takers = layer.loss === "logistic" ? "The sinks, one for each token, take" : "The sink takes";
    const first = sink > 0 ? `${takers} ${percent(sink)}. With the rest, ${percent(total)}, layer` : "Layer";
    if (!now.learnt) {
      return n === 1
        ? `${first} ${next} looks at its only token.`
        : `w = 0. ${first} ${next} looks at all ${n} tokens alike (${percent(weights[0])} each).`;
    }
    if (n > 1 && weights[top] < (1.3 * total) / n) {
      return `${first} ${next} looks at all ${n} tokens nearly alike, at token ${top + 1} most (${percent(weights[top])}).`;
    }
    const part = (i) => (weights[i] < 0.001 ? "" : ` (${percent(weights[i])})`); // beside a sink that takes nearly all
    const second = hasSecond()
      ? `, then at token ${order[1] + 1}${part(order[1])}` : "";
    const why = m[top] <= 0 ? "the one that w gets most wrong" : "the one that is least right";
    let few = 0;
    for (let sum = 0; sum < 0.9 * total && few < n; few++) sum += weights[order[few]];
    const share = few > 1 && few < n ? ` ${few} of ${n} tokens share nine tenths of ${sink > 0 ? "that rest" : "it"}.` : "";
    return `${first} ${next} looks most at token ${top + 1}${part(top)}, ${why}${second}.${share}`;
  }

  /* Under each curve: which theorem is drawn, or why none is. */
  const noLine = () => `Nothing is dashed: no line${state.intercept ? "" : " through the origin"} gets every token right`;

  /* Without a separator a layer may settle, or swing for ever: which of the two is seen in its last hundred layers. */
  function swingInWords() {
    const [low, high] = span(now.logLoss.slice(-100));
    if (high - low < 0.01) return "";
    return ` Nor does this layer settle: with c = ${state.c} the loss still swings between ${fromLog(low)} and ${fromLog(high)} over layers 901 to 1,000.`;
  }

  function lossInWords() {
    const { layer, gamma, alive } = now, none = "Nothing is dashed: ";
    if (!alive) return [];
    if (now.lossBound) return ["Dashed: theorem ", theorem("descent"), ", log L ≤ −η(1 − ηR²/2)γ²T."];
    if (layer.loss === "logistic") return [none, "the book proves no rate for the logistic loss."];
    if (layer.sink) return [none, "with a sink the layer descends ", theorem("sink"), ", and the theorem is not about it."];
    if (gamma === null) return [noLine(), ", and the theorem assumes one. See ", theorem("stuck"), "."];
    if (layer.momentum) return [none, "for momentum the book proves a rate for the margin, not for the loss."];
    return [none, "the step is not below 2/R², where ", theorem("descent"), " ends. The loss may rise."];
  }

  function marginInWords() {
    const { layer, gamma, alive } = now, none = "No rate is dashed: ";
    if (!alive) return [];
    if (gamma === null) return [noLine(), ", so there is no margin to tend to."];
    if (layer.loss === "logistic" || layer.sink) return [none, "the book proves none for this layer."];
    const name = layer.momentum ? "momentum" : "rate", direction = layer.momentum ? [] : [" See ", theorem("anyStep"), "."];
    if (!now.marginBound) return [none, theorem(name), " covers steps up to 1/R².", ...direction];
    return ["Dashed: theorem ", theorem(name), layer.momentum ? ", γ − 4R² log n / (γcT(T+3))." : ", γ − R²(log n + c/2) / (γcT)."];
  }

  function notesInWords() {
    const notes = [], list = state.points, same = (a, b) => a.x[0] === b.x[0] && a.x[1] === b.x[1];
    if (warning) notes.push(warning);
    if (!list.length) return [...notes, "The prompt is empty. Click into the plane, or press Add a point."];
    const zero = list.findIndex((p) => !p.x[0] && !p.x[1]);
    if (!now.R) notes.push("Every point lies at the origin: its score is 0 for every w, and there is nothing to learn. Move one.");
    else if (zero >= 0 && !state.intercept) notes.push(`Token ${zero + 1} lies at the origin: its score is 0 for every w, so no line through the origin gets it right.`);
    if (list.every((p) => p.y === list[0].y)) notes.push(`All labels are ${sign(list[0].y)}. The layer does not mind: it sees folded tokens, y times x.`);
    const pairs = list.flatMap((a, i) => list.slice(0, i).map((b, j) => [a, b, j + 1, i + 1])).filter(([a, b]) => same(a, b));
    const clash = pairs.find(([a, b]) => a.y !== b.y);
    if (clash) notes.push(`Tokens ${clash[2]} and ${clash[3]} are one point with both labels: no line gets both right.`);
    else if (pairs.length) notes.push(`Tokens ${pairs[0][2]} and ${pairs[0][3]} are the same: that example counts twice.`);
    if (list.length === MOST) notes.push(`${MOST} points are the most that this page takes.`);
    if (now.alive && !now.finite) notes.push("The numbers overflow at some depth: choose a smaller step.");
    return notes;
  }

  function answerInWords() {
    const value = score(state.query), where = `(${state.query.map((v) => fixed(v)).join(", ")})`;
    if (!now.learnt) return `The query ? at ${where}: no answer, w = 0.`;
    return `The query ? at ${where}: the model answers ${sign(value)}, ⟨w,\u00a0x⟩\u00a0=\u00a0${signed(value)}.`;
  }

  function summary() {
    if (!now.alive) return notesInWords().join(" ");
    const wrong = now.wrong.filter(Boolean).length;
    const reached = now.learnt ? ` Margin ${fixed(now.margin[now.T], 3)}` : "";
    const most = now.learnt ? (now.gamma === null ? ", and no line separates the prompt." : ` of at most ${fixed(now.gamma, 3)}.`) : "";
    return `${layers(now.T)}: loss ${fromLog(now.logLoss[now.T])}, ${wrong} of ${now.n} points wrong.${reached}${most} ` +
      `${attentionInWords()} ${answerInWords()} ${notesInWords().join(" ")}`;
  }

  /* ---------------------------------------------------------------- the page's parts */

  function make(one, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) one.setAttribute(key, value);
    one.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return one;
  }
  const h = (name, attributes, ...children) => make(document.createElement(name), attributes, children);
  const s = (name, attributes, ...children) =>
    make(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const stroke = (x1, y1, x2, y2, kind) => s("line", { x1, y1, x2, y2, class: kind });
  const label = (x, y, words, kind, anchor) => s("text", { x, y, class: kind || "ex-tick", "text-anchor": anchor }, words);
  const small = (...words) => h("small", {}, words);
  const set = (one, attributes) => make(one, attributes, []);

  const key = (kind, text) => h("span", { class: "ex-key" },
    s("svg", { viewBox: "0 0 24 10", width: 24, height: 10, "aria-hidden": "true" }, stroke(1, 5, 23, 5, kind)), text);

  /* What stands still, as HTML. What has a data-ui is found under that name in `ui`. */
  const MARKS = { 1: '<span class="ex-mark ex-plus" aria-hidden="true">●</span>', "-1": '<span class="ex-mark ex-minus" aria-hidden="true">✕</span>' };
  const choice = (type, name, value, label, more = "") =>
    `<label class="ex-choice"><input type="${type}" name="ex-${name}" value="${value}" ${more}><span>${label}</span></label>`;
  const hidden = (words) => `<span class="visually-hidden">${words}</span>`;
  const button = (name, label, more = "") => `<button type="button" class="ex-button" data-ui="${name}" ${more}>${label}</button>`;
  const presets = Object.entries(PRESETS).map(([id, { name }]) => button(id, name, `data-preset aria-pressed="false"`));
  const FRAME = `
    <div class="ex-presets" role="group" aria-label="Prompts to start from">${presets.join("")}</div>
    <div class="ex-grid">
      <div class="ex-left">
        <a class="ex-skip" href="#ex-depth" data-ui="skip">Skip the points</a>
        <p id="ex-keys" class="visually-hidden">Arrow keys move the point, with Shift in small steps. F flips its label, Delete removes it.</p>
        <svg class="ex-plane" role="group" aria-label="The prompt: points in the plane" data-ui="plane">
          <g data-ui="back"></g><g data-ui="halos"></g><g data-ui="tokens"></g>
          <g data-ui="query" class="ex-query" tabindex="0" role="button"></g><g data-ui="tip" class="ex-tip" aria-hidden="true"></g>
        </svg>
        <div class="ex-bar-row" role="group" aria-label="The points">
          ${button("flip", "Flip", 'aria-label="Flip label"')}${button("remove", "Delete")}${button("undo", "Undo")}
          <span class="ex-adds" role="radiogroup" aria-label="Label of a new point">${button("add", "Add", 'aria-label="Add a point"')}
          ${choice("radio", "new", "1", MARKS[1] + hidden("+1"), "checked")}${choice("radio", "new", "-1", MARKS[-1] + hidden("−1"))}</span>
        </div>
        <div class="ex-bar-row">
          ${button("play", "Play")}<label class="ex-strong" for="ex-depth">Depth</label><output class="ex-strong" data-ui="depthText" for="ex-depth" aria-live="off"></output>
          <span class="ex-pair">${button("fewer", "−", 'aria-label="One layer less"')}${button("more", "+", 'aria-label="One layer more"')}</span>
          <input type="range" id="ex-depth" data-ui="depth" min="0" max="${STOPS.length - 1}">
        </div>
        <div class="ex-bar-row ex-kinds" role="group" aria-label="The layer">
          <span class="ex-bar-row" role="radiogroup" aria-label="Loss">
          ${choice("radio", "loss", "exponential", "exponential")}${choice("radio", "loss", "logistic", "logistic")}</span>
          ${choice("checkbox", "momentum", "", "momentum")}${choice("checkbox", "sink", "", "sink")}${choice("checkbox", "intercept", "", "intercept")}
        </div>
        <div class="ex-bar-row ex-step"><label for="ex-step">Step size</label><output data-ui="stepText" for="ex-step" aria-live="off"></output>
          <input type="range" id="ex-step" data-ui="step" min="0" max="${STEPS.length - 1}"></div>
        <div class="ex-notes" role="status" data-ui="notes"></div>
      </div>
      <p class="ex-look" data-ui="look"></p>
      <div class="ex-under">
        <p class="ex-small" data-ui="sinkNote"></p>
        <p class="ex-answer" data-ui="answer"></p>
        <p class="ex-small" data-ui="which"></p>
        <p class="ex-legend" data-ui="legend"></p>
      </div>
      <div class="ex-right">${["bars", "loss", "margin"].map((name) => `<section data-ui="${name}Card"><h2 class="ex-title"></h2>
        <svg class="ex-chart" role="img"></svg><p class="${name === "bars" ? "ex-sentence" : "ex-small"}"></p></section>`).join("")}</div>
    </div>
    <div class="ex-bar-row ex-foot">${button("share", "Copy link")}
      <span class="ex-small" role="status" data-ui="shared">The link holds this prompt, this layer and this depth.</span>
      <input type="text" readonly hidden class="ex-address" aria-label="Link to this state" data-ui="address"></div>
    <details data-ui="numbers"><summary>The same as numbers</summary>
      <div class="ex-scroll" tabindex="0" role="region" aria-label="Tokens as numbers"><table><thead><tr>${
        ["token", "label", "x", "score m", "attention"].map((head) => `<th scope="col">${head}</th>`).join("")
      }</tr></thead><tbody data-ui="table"></tbody></table></div></details>
    <p class="visually-hidden" role="status" data-ui="live"></p>`;

  const ui = {};
  let newLabel = 1;

  function build() {
    home.innerHTML = FRAME;
    for (const one of home.querySelectorAll("[data-ui]")) ui[one.dataset.ui] = one;
    for (const name of ["bars", "loss", "margin"]) {
      const [title, svg, note] = ui[`${name}Card`].children;
      ui[name] = { name, title, svg, note };
      if (name !== "bars") for (const type of ["pointerdown", "pointermove"]) svg.addEventListener(type, depthFromPointer);
    }
    for (const name of ["plane", "query"]) ui[name].setAttribute("aria-describedby", "ex-keys");

    const click = {
      play: togglePlay, fewer: () => setDepth(state.depth - 1), more: () => setDepth(state.depth + 1), add: addBesideQuery,
      flip: () => flip(selected), remove: () => remove(selected), undo, share,
      skip: (event) => { event.preventDefault(); ui.depth.focus(); },
    };
    for (const id of Object.keys(PRESETS)) click[id] = () => choosePreset(id);
    for (const [name, action] of Object.entries(click)) ui[name].addEventListener("click", action);
    ui.depth.addEventListener("input", () => setDepth(STOPS[ui.depth.value]));
    ui.step.addEventListener("input", () => change({ c: STEPS[ui.step.value] }));
    home.addEventListener("change", ({ target }) => {
      const name = target.name.slice(3);
      if (name === "new") newLabel = Number(target.value);
      else if (name) change({ [name]: name === "loss" ? target.value : target.checked });
    });
    document.addEventListener("keydown", (event) => {
      const free = !event.target.closest?.("input[type=text], input[type=search], textarea") && !event.defaultPrevented;
      if (!free || event.key.toLowerCase() !== "z" || event.shiftKey || event.altKey || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      undo();
    });
    const plane = { pointerdown: planeDown, pointermove: planeMove, pointerup: planeUp, pointercancel: planeUp, pointerleave: () => ui.tip.replaceChildren() };
    for (const [type, action] of Object.entries(plane)) ui.plane.addEventListener(type, action);
    const hold = (event) => event.target.closest(HANDLE) && event.preventDefault(); // a finger on a point does not scroll
    ui.plane.addEventListener("touchstart", hold, { passive: false });
    ui.plane.addEventListener("dblclick", () => pressed[0] === pressed[1] && flip(pressed[1]));
    ui.query.addEventListener("keydown", (event) => moveByKey(event, state.query, () => change({})));
    ui.bars.svg.addEventListener("pointerdown", pickBar);
    ui.numbers.addEventListener("toggle", drawControls);
    new ResizeObserver(draw).observe(home);
  }

  function depthFromPointer(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    setDepth(Math.round(Math.expm1(Math.max(0, Math.min(1, share)) * Math.log1p(DEEPEST))));
  }

  /* ---------------------------------------------------------------- drawing */

  let size = 500;
  const X = (x) => ((x + EDGE) / (2 * EDGE)) * size, Y = (y) => ((EDGE - y) / (2 * EDGE)) * size;

  /* The line <w, x> = level in pixels, or null where w has no direction in the plane. */
  function lineAt(w, level) {
    const long = Math.hypot(w[0], w[1]);
    if (!(long > 0)) return null;
    const u = [w[0] / long, w[1] / long], off = (level - (w[2] || 0)) / long;
    const at = (along, aside) => [X((off + along) * u[0] - aside * u[1]), Y((off + along) * u[1] + aside * u[0])];
    return { u, long, at, ends: [at(0, -9), at(0, 9)], draw: (kind) => stroke(...at(0, -9), ...at(0, 9), kind) };
  }

  function arrow(from, to, kind) {
    const turn = (Math.atan2(to[1] - from[1], to[0] - from[0]) * 180) / Math.PI;
    const head = { d: "M1 0L-10 -5L-10 5Z", class: `${kind}-head`, transform: `translate(${to}) rotate(${turn})` };
    return [stroke(...from, to[0] - 5 * Math.cos((turn * Math.PI) / 180), to[1] - 5 * Math.sin((turn * Math.PI) / 180), kind), s("path", head)];
  }

  /* Of some places for a letter, in pixels, the first that is clear of the points, or else the clearest. */
  const clear = (spot) => Math.min(26, spot[0] - 14, size - 14 - spot[0], spot[1] - 14, size - 14 - spot[1],
    ...[...state.points.map((p) => p.x), state.query].map((x) => Math.hypot(X(x[0]) - spot[0], Y(x[1]) - spot[1])));
  const roomiest = (spots) => spots.reduce((best, spot) => (clear(spot) > clear(best) ? spot : best));

  function drawBack() {
    const ground = (more) => s("rect", { width: size, height: size, ...more }), line = lineAt(now.w, 0);
    const parts = [ground({ class: "ex-ground" })];
    if (line) { // how sure the answer is, 2 sigma(<w, x>) - 1: the deeper, the sharper
      const [x1, y1] = line.at(-4 / line.long, 0), [x2, y2] = line.at(4 / line.long, 0);
      const stops = STEPS.map((_, k) => (k - 7) / 1.75).map((value, k) => s("stop", {
        offset: k / 14, class: value > 0 ? "ex-plus" : "ex-minus",
        "stop-opacity": 0.26 * Math.abs(2 / (1 + Math.exp(-value)) - 1),
      }));
      const tint = s("linearGradient", { id: "ex-tint", gradientUnits: "userSpaceOnUse", x1, y1, x2, y2 }, stops);
      parts.push(s("defs", {}, tint), ground({ fill: "url(#ex-tint)" }));
    }
    for (const t of [-1, -0.5, 0, 0.5, 1]) {
      const kind = t ? "ex-faint" : "ex-axis";
      parts.push(stroke(X(t), 0, X(t), size, kind), stroke(0, Y(t), size, Y(t), kind));
    }
    const least = now.learnt ? Math.min(...now.m) : 0;
    if (line && least > 0) parts.push(lineAt(now.w, -least).draw("ex-edge"), lineAt(now.w, least).draw("ex-edge"));
    if (now.alive) {
      for (let t = 1; t < now.T; t *= 2) parts.push(lineAt(now.path[t], 0)?.draw("ex-ghost"));
      parts.push(now.best && lineAt(now.best.direction, 0)?.draw("ex-best"));
    }
    const origin = [X(0), Y(0)], tip = line ? line.at(0.3, 0) : origin;
    if (line) {
      parts.push(line.draw("ex-boundary"), ...arrow(line.at(0, 0), tip, "ex-arrow"));
      parts.push(label(...roomiest([line.at(0.15, 0.09), line.at(0.15, -0.09), line.at(0.25, 0.1)]), "w", "ex-w"));
    }
    parts.push(s("circle", { cx: origin[0], cy: origin[1], r: 4, class: "ex-origin" }));
    const end = [tip[0] + X(now.pull[0]) - X(0), tip[1] + Y(now.pull[1]) - Y(0)], far = Math.hypot(end[0] - tip[0], end[1] - tip[1]);
    now.pulls = now.alive && far > 8; // a shorter arrow is all head
    if (now.pulls) {
      parts.push(...arrow(tip, end, "ex-pull"));
      const [a, b] = [(end[0] - tip[0]) / far, (end[1] - tip[1]) / far], spot = (along, aside) => [end[0] + along * a - aside * b, end[1] + along * b + aside * a + 5];
      parts.push(label(...roomiest([spot(22, 0), spot(0, 26), spot(0, -26), spot(-far / 2, 26), spot(-far / 2, -26)]), "step", "ex-w"));
    }
    const lost = now.wrong.filter(Boolean).length;
    if (now.learnt) parts.push(label(10, 22, `${lost} of ${now.n} wrong`, `ex-tally${lost ? " ex-loud" : ""}`, "start"));
    ui.back.replaceChildren(...parts.filter(Boolean));
  }

  const coarse = window.matchMedia("(pointer: coarse)");
  const tone = (y) => (y > 0 ? "ex-plus" : "ex-minus");
  const MARK = {
    1: { d: "M-7 0A7 7 0 1 0 7 0A7 7 0 1 0 -7 0Z", class: "ex-dot ex-plus" },
    "-1": { d: "M-6 -6L6 6M-6 6L6 -6", class: "ex-cross ex-minus" },
  };

  function newToken() {
    const parts = {
      hit: s("circle", { class: "ex-hit" }), support: s("path", { class: "ex-support", d: "M0 -12L12 0L0 12L-12 0Z" }),
      wrong: s("circle", { class: "ex-wrong", r: 12 }), mark: s("path", {}), text: s("text", { class: "ex-number", y: -14 }),
    };
    const g = s("g", { class: "ex-token", tabindex: "0", role: "button", "aria-describedby": "ex-keys" }, Object.values(parts));
    const index = () => [...ui.tokens.children].indexOf(g);
    g.parts = parts;
    g.addEventListener("focus", () => { select(index()); });
    g.addEventListener("keydown", (event) => {
      const i = index();
      if (["f", "F", "Enter", " "].includes(event.key) && !event.ctrlKey && !event.metaKey) flip(i);
      else if (event.key === "Delete" || event.key === "Backspace") remove(i);
      else return moveByKey(event, state.points[i].x, () => changePoints());
      event.preventDefault();
    });
    return g;
  }

  function drawTokens() {
    const tokens = ui.tokens.children, halos = ui.halos.children, n = now.n, list = state.points;
    for (const [box, more] of [[ui.tokens, newToken], [ui.halos, () => s("circle", {})]]) {
      while (box.childElementCount > n) box.lastChild.remove();
      while (box.childElementCount < n) box.append(more());
    }
    const loud = now.order.slice(0, 2).filter((i) => now.learnt && now.weights[i] > Math.max(0.08, 1.3 / n));
    list.forEach((p, i) => {
      const [x, y] = [X(p.x[0]), Y(p.x[1])], share = now.weights[i], { hit, support, wrong, mark: shape, text } = tokens[i].parts;
      const told = i === selected || loud.includes(i), words = told ? `${i + 1}: ${percent(share)}` : n <= 16 ? String(i + 1) : "";
      set(tokens[i], {
        transform: `translate(${x} ${y})`, class: `ex-token ${tone(p.y)}${i === selected ? " ex-on" : ""}`,
        "aria-label": `Token ${i + 1}, label ${sign(p.y)}, at ${fixed(p.x[0])}, ${fixed(p.x[1])}, attention ${percent(share)}` +
          (now.wrong[i] ? ", on the wrong side" : ""),
      });
      set(halos[i], { class: `ex-halo ${tone(p.y)}`, cx: x, cy: y, r: Math.sqrt(share) * size * 0.2 });
      set(hit, { r: coarse.matches ? 22 : 14 });
      set(shape, MARK[p.y]);
      support.style.display = now.support && now.support[i] ? "" : "none";
      wrong.style.display = now.wrong[i] ? "" : "none";
      set(text, { class: `ex-number${told ? " ex-loud" : ""}`, y: y < 32 ? 25 : -14, "text-anchor": x < 40 ? "start" : x > size - 40 ? "end" : "middle" });
      text.textContent = words;
    });
    const answer = now.learnt ? score(state.query) : 0;
    set(ui.query, {
      transform: `translate(${X(state.query[0])} ${Y(state.query[1])})`, "aria-label": answerInWords(),
      class: `ex-query ${answer ? tone(answer) : ""}`,
    });
    ui.query.replaceChildren(
      s("circle", { class: "ex-hit", r: coarse.matches ? 24 : 16 }), s("path", { d: "M0 -13L13 0L0 13L-13 0Z", class: "ex-diamond" }),
      label(0, 5, "?", "ex-mark-text"), label(0, -18, answer ? sign(answer) : "no answer", "ex-number ex-loud"));
  }

  const AXIS = 42; // room for the scale of the bars
  const barRoom = () => {
    const { n, layer } = now, sinks = layer.sink || layer.loss === "logistic";
    return { sinks, room: (ui.bars.svg.clientWidth - AXIS - 10) / Math.max(n + (sinks ? 1.6 : 0), 6) };
  };

  function drawBars() {
    const { n, weights, sink, order } = now, { sinks, room } = barRoom(), width = ui.bars.svg.clientWidth, height = 132;
    const bar = Math.min(room * 0.72, 34), base = height - 30, top = base - 18, highest = Math.max(...weights, sinks ? sink : 0);
    const most = [0.05, 0.1, 0.2, 0.5].find((scale) => n && highest <= scale) || 1; // few scales, so that bars can be compared
    const named = !now.learnt ? [] : [order[0], ...(hasSecond() ? [order[1]] : [])]; // those that the sentence names
    const told = [...named];
    for (const i of now.learnt ? [selected, order[1], order[2]] : [selected]) {
      const seen = i === selected || weights[i] > most / 25;
      if (i !== null && i < n && seen && told.every((j) => Math.abs(i - j) * room > 44)) told.push(i);
    }
    const parts = [stroke(AXIS, base, width, base, "ex-axis")], words = [];
    for (const share of [most / 2, most]) {
      const y = base - (top * share) / most;
      parts.push(stroke(AXIS, y, width, y, "ex-faint"), label(AXIS - 6, y + 4, `${Number((100 * share).toFixed(1))}\u00a0%`, "ex-tick", "end"));
    }
    const add = (x, wide, share, more) => {
      const high = (top * share) / most;
      parts.push(s("rect", { x: x - wide / 2, y: base - high, width: wide, height: high, ...more }));
      return base - high - 5;
    };
    const edge = (x) => (x > width - 22 ? [width, "end"] : [x, "middle"]);
    weights.forEach((share, i) => {
      const x = AXIS + (i + 0.5) * room, y = state.points[i].y, loud = told.includes(i);
      const above = add(x, bar, share, { class: `ex-bar ${tone(y)}${i === selected ? " ex-on" : ""}` });
      if (room >= 9) parts.push(s("path", { ...MARK[y], transform: `translate(${x} ${base + 9}) scale(.55)` }));
      if (room >= 15 || loud) words.push(label(x, height - 2, String(i + 1), loud ? "ex-tick ex-loud" : "ex-tick"));
      const beside = named.find((j) => j !== i && named.includes(i) && Math.abs(i - j) * room < 44); // lean away from it
      const [at, anchor] = beside === undefined ? edge(x) : beside > i ? [x + bar / 2, "end"] : [x - bar / 2, "start"];
      if (loud) words.push(label(at, above, percent(share), "ex-tick ex-loud", anchor));
    });
    if (sinks) {
      const x = AXIS + (n + 0.9) * room, hatch = { id: "ex-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
      parts.push(s("defs", {}, s("pattern", hatch, stroke(0, 0, 0, 6, "ex-hatch"))));
      const above = add(x, Math.max(bar, 10), sink, { fill: "url(#ex-hatch)", class: "ex-sinkbar" });
      words.push(label(edge(x)[0], height - 2, now.layer.sink ? "sink" : "sinks", "ex-tick ex-loud", edge(x)[1]));
      words.push(label(edge(x)[0], above, percent(sink), "ex-tick ex-loud", edge(x)[1]));
    }
    const even = base - top / n / most;
    if (n > 1) parts.push(stroke(AXIS, even, AXIS + n * room, even, "ex-even"));
    const sentence = attentionInWords();
    set(ui.bars.svg, { viewBox: `0 0 ${width} ${height}`, height, "aria-label": sentence }).replaceChildren(...parts, ...words);
    ui.bars.note.textContent = sentence;
    ui.bars.title.replaceChildren(`What the next layer (${count(now.T + 1)}) looks at`, small(n > 1 && key("ex-even", " even: 1/n")));
  }

  const PAD = { left: 50, right: 18, top: 8, bottom: 26 };

  function drawChart(part, values, ghost, bound, scale, ticks, reference, heading, words) {
    const width = part.svg.clientWidth, height = 150, right = width - PAD.right, foot = height - PAD.bottom;
    const x = (T) => PAD.left + ((right - PAD.left) * Math.log1p(T)) / Math.log1p(DEEPEST);
    const share = (value) => (scale.high - scale.at(value)) / (scale.high - scale.low);
    const y = (value) => PAD.top + (foot - PAD.top) * Math.max(-0.1, Math.min(1.4, share(value)));
    const trace = (f, kind) => {
      const spots = now.path.map((_, T) => [x(T), f(T)]).filter(([, value]) => Number.isFinite(value));
      return spots.length > 0 && s("path", { d: "M" + spots.map(([at, value]) => `${at.toFixed(1)} ${y(value).toFixed(1)}`).join("L"), class: kind });
    };
    const box = s("rect", { x: PAD.left - 4, y: PAD.top - 4, width: right - PAD.left + 8, height: foot - PAD.top + 5 });
    const parts = [s("defs", {}, s("clipPath", { id: `ex-clip-${part.name}` }, box)), label(PAD.left - 12, height - 10, "layers", "", "end")];
    for (const T of [0, 1, 10, 100, 1000]) {
      parts.push(stroke(x(T), PAD.top, x(T), foot, "ex-faint"), label(x(T), height - 10, count(T)));
    }
    for (const [value, told] of ticks) {
      parts.push(stroke(PAD.left, y(value), right, y(value), "ex-faint"), label(PAD.left - 6, y(value) + 4, told, "", "end"));
    }
    const kind = algorithm(), curves = s("g", { "clip-path": `url(#ex-clip-${part.name})` },
      reference !== null && stroke(PAD.left, y(reference), right, y(reference), "ex-best"),
      ghost && trace((T) => ghost[T], "ex-curve ex-before"),
      bound && trace((T) => (T ? bound(T) : NaN), `ex-bound ${kind}`),
      now.alive && trace((T) => values[T], `ex-curve ${kind}`));
    parts.push(curves, stroke(x(now.T), PAD.top, x(now.T), foot, "ex-cursor"));
    if (Number.isFinite(values[now.T])) parts.push(s("circle", { cx: x(now.T), cy: y(values[now.T]), r: 5, class: `ex-here ${kind}` }));
    part.title.replaceChildren(...heading.filter(Boolean));
    part.note.replaceChildren(...words);
    const name = `${[...part.title.childNodes].map((one) => one.textContent.trim()).join(", ")}; against depth. ${part.note.textContent}`;
    set(part.svg, { viewBox: `0 0 ${width} ${height}`, height, "aria-label": name }).replaceChildren(...parts);
  }

  const algorithm = () =>
    now.layer.momentum ? "ex-momentum" : now.layer.loss === "logistic" ? "ex-logistic" : now.layer.sink ? "ex-sink" : "ex-layer";
  const span = (list) => [Math.min(...list.filter(Number.isFinite)), Math.max(...list.filter(Number.isFinite))];
  const beforeKey = () => small(key("ex-curve ex-before", ` before: ${kindOf(now.ghost.layer)}, c = ${now.ghost.c}`));
  const proved = (words) => small(key(`ex-bound ${algorithm()}`, ` proved: ${words}`));

  function drawLoss() {
    const values = now.alive ? now.logLoss : [NaN], at = (v) => Math.asinh(2 * v);
    const ghost = now.alive && now.ghost && now.ghost.layer.loss === now.layer.loss ? now.ghost.logLoss : null;
    const [low, high] = span([...values, ...(ghost || []), 0]).map(at), air = 0.06 * Math.max(high - low, 0.4);
    const scale = { at, low: low - air, high: high + air }, ticks = [];
    /* Round numbers, the roundest first, as many as there is room for. */
    const whole = [0, -1, 1, -10, -100, -1000, -2, 2, -3, 3, -5, -20, -30, -300, -3000, 10];
    for (const ten of [...whole, ...[5, 3, 8, 7, 9, 6, 4, 2].map((k) => Math.log10(k / 10))]) {
      const v = at(ten * Math.LN10), near = 0.15 * (scale.high - scale.low);
      if (v < scale.low || v > scale.high || ticks.some(([other]) => Math.abs(at(other) - v) < near)) continue;
      ticks.push([ten * Math.LN10, Math.abs(ten) > 2 ? `10${raised(ten)}` : String(Number((10 ** ten).toPrecision(1)))]);
    }
    const name = now.layer.loss === "logistic" ? "Logistic loss" : "Loss";
    drawChart(ui.loss, values, ghost, now.lossBound, scale, ticks, null, [
      `${name} ${now.alive ? fromLog(values[now.T]) : ""}`,
      now.lossBound && now.T > 0 && proved(`at most ${fromLog(now.lossBound(now.T), Math.ceil)}`),
      ghost && beforeKey(),
    ], [...lossInWords(), now.alive && now.gamma === null ? swingInWords() : "", scale.low < at(-9) ? " The axis: log L, and far below 1 the log of that." : ""]);
  }

  function drawMargin() {
    const values = now.alive ? now.margin : [NaN], gamma = now.alive ? now.gamma : null;
    const ghost = now.alive && now.ghost ? now.ghost.margin : null;
    let [low, high] = span([...values, ...(ghost || []), 0, gamma || 0.05]);
    const air = 0.1 * (high - low), ticks = [];
    [low, high] = [low < 0 ? low - air / 2 : low, high + air];
    const unit = [0.05, 0.1, 0.2, 0.5, 1].find((step) => (high - low) / step <= 4.5) || 1;
    for (let k = Math.ceil(low / unit); k * unit <= high; k++) ticks.push([k * unit, fixed(k * unit, unit < 0.1 ? 2 : 1)]);
    const least = now.marginBound && now.T > 0 ? now.marginBound(now.T) : 0;
    drawChart(ui.margin, values, ghost, now.marginBound, { at: (v) => v, low, high }, ticks, gamma, [
      `Margin ${now.alive && now.learnt ? fixed(values[now.T], 3) : ""}`,
      now.alive && now.learnt && small(`least score ${signed(Math.min(...now.m))} ÷ ‖w‖ ${signed(L.length(now.w)).slice(1)}`),
      gamma !== null && small(key("ex-best", ` max ${fixed(gamma, 3)}`)),
      least > 0 && proved(`at least ${fixed(Math.floor(1000 * least) / 1000, 3)}`),
      ghost && beforeKey(),
    ], marginInWords());
  }

  /* An entry for each kind of thing that is drawn, and for no other. */
  function drawLegend() {
    const list = state.points, dot = (kind) => `<i class="${kind}"></i>`, any = (marks) => marks && marks.includes(true);
    const line = (kind) => key(kind, "").outerHTML, direction = now.learnt && Math.hypot(now.w[0], now.w[1]) > 0;
    const entries = [
      [list.some((p) => p.y > 0), `${MARKS[1]} label +1`], [list.some((p) => p.y < 0), `${MARKS[-1]} label −1`],
      [now.n, `${dot("ex-halo-key")} by area: what the next layer (${count(now.T + 1)}) looks at`],
      [any(now.wrong), `${dot("ex-ring-key")} on the wrong side`],
      [now.n && any(now.support), `${dot("ex-diamond-key")} holds the largest margin`],
      [now.alive && now.best, `${line("ex-best")} largest margin of all lines${state.intercept ? "" : " through the origin"}`],
      [direction, `${line("ex-boundary")} boundary`],
      [direction && Math.min(...now.m) > 0, `${line("ex-edge")} ⟨w, x⟩ = ± the least score`],
      [direction && now.T > 1, `${line("ex-ghost")} after 1, 2, 4, … layers`],
      [direction, "→ w: its direction only"],
      [now.pulls, `<b>→</b> step: Σ qᵢzᵢ, to scale; times η${now.layer.momentum ? ", and the run-up," : ""} it is added to w`],
      [now.alive && !now.pulls, "no step: Σ qᵢzᵢ is too short to draw"],
      [true, "◇ ? query"], [true, `○ origin${state.intercept ? "" : ": without intercept every line passes through it"}`],
    ];
    const html = entries.filter(([drawn]) => drawn).map(([, words]) => `<span>${words}</span>`).join(" ");
    if (ui.legend.was !== html) ui.legend.innerHTML = ui.legend.was = html;
  }

  function drawControls() {
    const stop = nearest(STOPS, state.depth), n = state.points.length;
    for (const id of Object.keys(PRESETS)) set(ui[id], { "aria-pressed": id === state.preset });
    const look = state.preset ? PRESETS[state.preset].look
      : n ? "Predict what the next layer will look at, then move the depth by one." : "Add a point of each label to begin.";
    ui.look.replaceChildren(h("strong", {}, state.preset ? "Look for: " : "Your own prompt. "), look);
    ui.depth.value = stop;
    ui.depthText.textContent = layers(state.depth);
    set(ui.depth, { "aria-valuetext": layers(state.depth) });
    ui.step.value = nearest(STEPS, state.c);
    const eta = Number(now.layer.step.toPrecision(2));
    const words = !now.R ? `c = ${state.c}` : grown ? `R is now ${fixed(now.R)}, so η = c/R² = ${eta}` : `c = ${state.c}, η = c/R² = ${eta}`;
    set(ui.step, { "aria-valuetext": words });
    ui.stepText.textContent = words;
    ui.stepText.classList.toggle("ex-flash", grown);
    const input = (name) => home.querySelector(`input[name=ex-${name}]`), logistic = state.loss === "logistic";
    home.querySelector(`input[value=${state.loss}]`).checked = true;
    for (const name of SWITCHES) input(name).checked = state[name];
    input("sink").disabled = logistic;
    ui.sinkNote.textContent = logistic
      ? "Logistic: each token has a sink of its own, so the switch for one sink rests. This takes two attention blocks."
      : "One softmax head. A sink is one more token, with score 0 and nothing to say.";
    const chosen = selected !== null && selected < n;
    ui.flip.disabled = ui.remove.disabled = !chosen;
    ui.add.disabled = n >= MOST;
    ui.undo.disabled = !past.length;
    const hints = coarse.matches
      ? ["drag it, flip it or delete it.", "Drag a point; tap one to select it; tap beside the points to add one."]
      : ["arrow keys move it, F flips it, Delete removes it.",
        "Drag a point; click one, or reach it with Tab, to select it. A double click flips it. A click beside the points adds one."];
    ui.which.textContent = chosen ? `Token ${selected + 1} is selected: ${hints[0]}` : hints[1];
    ui.answer.textContent = answerInWords();
    drawLegend();
    const notes = notesInWords();
    if (ui.notes.textContent !== notes.join("")) ui.notes.replaceChildren(...notes.map((text) => h("p", {}, text)));
    if (ui.numbers.open) {
      const row = (p, i) => [i + 1, sign(p.y), `(${p.x.map((v) => fixed(v)).join(", ")})`, signed(now.m[i]), percent(now.weights[i])];
      ui.table.replaceChildren(...state.points.map((p, i) => h("tr", {}, row(p, i).map((cell) => h("td", {}, cell)))));
    }
  }

  function draw() {
    size = ui.plane.clientWidth || 500;
    set(ui.plane, { viewBox: `0 0 ${size} ${size}` });
    drawBack();
    drawTokens();
    drawBars();
    drawLoss();
    drawMargin();
    drawControls();
  }

  /* A point that becomes the longest changes R, and with it the step: the page says so for a while. */
  let grown = false;
  function update(push) {
    const before = now.R;
    compute();
    if (before && now.R && now.R !== before && !state.preset) {
      grown = true;
      clearTimeout(timers.grown);
      timers.grown = setTimeout(() => { grown = false; drawControls(); }, 2500);
    }
    draw();
    clearTimeout(timers.link);
    if (push) writeLink(true);
    else timers.link = setTimeout(writeLink, 250); // browsers limit how often an address may change
    clearTimeout(timers.live);
    timers.live = setTimeout(() => { ui.live.textContent = summary(); }, 900);
  }

  /* ---------------------------------------------------------------- what a reader can do */

  const remember = () => { past = [...past, encode(state)].slice(-100); };

  function change(what) {
    warning = "";
    Object.assign(state, what);
    update();
  }
  function changePoints() {
    state.preset = null;
    change({});
  }
  function setDepth(depth) {
    if (timers.play) stop();
    change({ depth: Math.max(0, Math.min(DEEPEST, depth)) });
  }
  function choosePreset(id) {
    stop();
    writeLink();
    remember();
    state = { ...initial(id), query: state.query };
    selected = null;
    warning = "";
    update(true);
  }
  function select(i) {
    if (i === selected) return;
    selected = i;
    draw();
  }
  function flip(i) {
    if (i === null || !state.points[i]) return;
    remember();
    state.points[i].y *= -1;
    changePoints();
  }
  function remove(i) {
    if (i === null || !state.points[i]) return;
    const focused = ui.tokens.contains(document.activeElement);
    remember();
    state.points.splice(i, 1);
    selected = state.points.length ? Math.min(i, state.points.length - 1) : null;
    changePoints();
    if (focused || selected === null) (selected === null ? ui.add : ui.tokens.children[selected]).focus();
  }
  function add(x, y) {
    if (state.points.length >= MOST) return;
    remember();
    state.points.push({ x: x.map(onGrid), y });
    selected = state.points.length - 1;
    changePoints();
    ui.tokens.children[selected].focus({ preventScroll: true });
  }
  /* Beside the query and the points that are already there: to the right, then on the rows below. */
  function addBesideQuery() {
    const x = [...state.query], near = (other) => Math.hypot(x[0] - other[0], x[1] - other[1]) < 0.25;
    for (let tries = 0; tries < 4 * MOST && [state.query, ...state.points.map((p) => p.x)].some(near); tries++) {
      x[0] = onGrid(x[0] + 0.3);
      if (x[0] > 1.25) x.splice(0, 2, -1.2, x[1] < -0.95 ? 1.2 : onGrid(x[1] - 0.3)); // not at the very edge
    }
    add(x, newLabel);
  }
  function undo() {
    if (!past.length) return;
    state = decode(past.pop());
    const focused = document.activeElement;
    selected = null;
    change({});
    if (focused === ui.undo && ui.undo.disabled) ui.add.focus();
    if (ui.tokens.contains(focused)) select([...ui.tokens.children].indexOf(focused));
  }
  function moveByKey(event, x, then) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (!event.repeat && x !== state.query) remember();
    const far = event.shiftKey ? GRID : 10 * GRID;
    x.forEach((value, k) => { x[k] = onGrid(value + far * way[k]); });
    then();
  }

  const HANDLE = ".ex-token, .ex-query";
  let drag = null, pressed = [];
  const toPlane = (event) => {
    const box = ui.plane.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 2 * EDGE - EDGE, EDGE - ((event.clientY - box.top) / box.height) * 2 * EDGE];
  };
  function planeDown(event) {
    if (event.button || drag) return;
    const g = event.target.closest(HANDLE), at = toPlane(event);
    drag = { id: event.pointerId, from: [event.clientX, event.clientY], moved: false, at, kind: "ground" };
    const i = [...ui.tokens.children].indexOf(g);
    pressed = [pressed[1], i];
    if (!g) return;
    const x = i < 0 ? state.query : state.points[i].x;
    Object.assign(drag, { kind: i < 0 ? "query" : "token", x, grip: [x[0] - at[0], x[1] - at[1]] });
    ui.plane.setPointerCapture(event.pointerId);
    event.preventDefault(); // no text is selected, and the focus is set here
    g.focus({ preventScroll: true });
  }
  function planeMove(event) {
    const at = toPlane(event);
    if (!drag || drag.id !== event.pointerId) {
      if (event.pointerType === "mouse") showTip(event, at);
      return;
    }
    ui.tip.replaceChildren();
    if (Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > 4) {
      if (!drag.moved && drag.kind === "token") remember();
      drag.moved = true;
    }
    if (!drag.moved || drag.kind === "ground") return;
    at.forEach((value, k) => { drag.x[k] = onGrid(value + drag.grip[k]); });
    if (drag.kind === "token") changePoints();
    else change({});
  }
  function planeUp(event) {
    const ended = drag;
    if (!ended || ended.id !== event.pointerId) return;
    drag = null;
    if (event.type === "pointerup" && ended.kind === "ground" && !ended.moved) add(ended.at, newLabel);
  }
  function showTip(event, at) {
    if (event.target.closest(HANDLE) || !now.learnt) return ui.tip.replaceChildren();
    const value = score(at), text = `${sign(value)}, ⟨w, x⟩ = ${signed(value)}`, wide = 8 * text.length + 8;
    const x = Math.min(X(at[0]) + 14, size - wide - 2), y = Math.max(Y(at[1]) - 30, 2);
    ui.tip.replaceChildren(s("rect", { x, y, width: wide, height: 24, rx: 4 }), label(x + wide / 2, y + 17, text, "ex-told"));
  }
  function pickBar(event) {
    const i = Math.floor((event.clientX - ui.bars.svg.getBoundingClientRect().left - AXIS) / barRoom().room);
    if (i >= 0 && i < now.n) select(i);
  }

  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  function stop() {
    clearInterval(timers.play);
    timers.play = null;
    ui.play.textContent = "Play";
  }
  function togglePlay() {
    if (timers.play) return stop();
    if (state.depth >= DEEPEST) state.depth = 0;
    ui.play.textContent = "Pause";
    const jump = calm.matches ? 8 : 1; // few still pictures instead of a film
    timers.play = setInterval(() => {
      const k = STOPS.findIndex((T) => T > state.depth), next = STOPS[Math.min(k + jump - 1, STOPS.length - 1)];
      change({ depth: k < 0 ? DEEPEST : next });
      if (state.depth >= DEEPEST) stop();
    }, calm.matches ? 1500 : 110);
  }

  function share() {
    writeLink();
    const address = location.href.split("#")[0] + encode(state);
    const done = () => {
      ui.address.hidden = true;
      ui.shared.textContent = "The link is copied.";
    };
    const byHand = () => {
      ui.address.hidden = false;
      ui.address.value = address;
      ui.address.select();
      ui.shared.textContent = "Copy the link from here:";
    };
    if (navigator.clipboard && navigator.clipboard.writeText) navigator.clipboard.writeText(address).then(done, byHand);
    else byHand();
  }

  build();
  readLink();
  compute();
  draw();
  const back = () => {
    if (!ours(location.hash) && location.hash.length > 1) return;
    stop();
    if (location.hash.length > 1) readLink();
    else state = initial("easy");
    selected = null;
    compute();
    draw();
  };
  window.addEventListener("popstate", back);
  home.dataset.ready = "true";
})();

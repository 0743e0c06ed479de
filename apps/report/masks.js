// The masks, pruning by pruning: which weights are live, what the first layer still reads, and how the weights that are
// left are distributed.

function bytesOf(base64) { return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)); }

// The positions that masks.jsonl says have changed: distances as LEB128 numbers, or a bit for each position.
function changesIn(layer) {
  const changed = [];
  if (layer.gaps !== undefined) {
    let at = -1, gap = 0, shift = 0;
    for (const byte of bytesOf(layer.gaps)) {
      gap += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte & 128) continue;
      changed.push(at += gap);
      gap = shift = 0;
    }
  } else {
    bytesOf(layer.bits).forEach((byte, b) => { for (let k = 0; k < 8; ++k) if (byte >> k & 1) changed.push(8 * b + k); });
  }
  return changed;
}

// A layer over the frames: its extents as drawn, and what changed from each frame to the next. Frame 0: all are live.
function stripsOf(run) {
  const strips = new Map();
  (run.masks || []).forEach((line, f) => line.layers.forEach((layer) => {
    if (!strips.has(layer.name)) strips.set(layer.name, stripOf(layer));
    strips.get(layer.name).changes[f + 1] = changesIn(layer);
  }));
  return strips;
}
function stripOf(layer) {
  return {name: layer.name, rows: layer.rows, cols: layer.cols, rowStep: layer.row_step, colStep: layer.col_step,
    height: Math.ceil(layer.rows / layer.row_step), width: Math.ceil(layer.cols / layer.col_step), changes: [[]]};
}

// The masks of a run as frames that can be gone through: [{step, density, line}], and the layers' strips.
function filmOf(run) {
  const prunings = new Map(run.metrics.filter((l) => l.pruned_at_step !== undefined).map((l) => [l.pruned_at_step, l]));
  const strips = stripsOf(run);
  const frames = [{step: null, density: 1}];
  for (const line of run.masks || []) frames.push({step: line.step, density: (prunings.get(line.step) || {}).density, line: prunings.get(line.step)});
  const network = run.network;
  if (!network) return {frames, strips};
  if (strips.size === 0) { // a run from before masks were written down: as they are in the end
    for (const layer of network.layers) strips.set(layer.name, stripOf(layer));
    frames.length = 0;
    frames.push({step: null, end: true, density: run.result.sparse.density});
  } else {
    frames.push({step: null, end: true, density: run.result.sparse.density});
  }
  const differs = network.layers.map((layer) => endWith(strips.get(layer.name), layer, frames.length - 1));
  if (frames.length > 1 && !differs.some(Boolean)) frames.pop();
  return {frames, strips};
}
// Makes the last frame what the model's file says; whether that changes anything.
function endWith(strip, layer, last) {
  if (!strip || strip.width * strip.height !== Math.ceil(layer.rows / layer.row_step) * Math.ceil(layer.cols / layer.col_step)) return false;
  const now = maskAt(strip, last), live = bytesOf(layer.live);
  const changed = [];
  for (let at = 0; at < now.length; ++at) if (now[at] !== (live[at >> 3] >> (at & 7) & 1)) changed.push(at);
  if (last === 0) strip.changes = [[]], strip.start = now.map((_, at) => live[at >> 3] >> (at & 7) & 1);
  else strip.changes[last] = changed;
  return changed.length > 0;
}

function maskAt(strip, frame) {
  const mask = strip.start ? strip.start.slice() : new Uint8Array(strip.width * strip.height).fill(1);
  for (let f = 1; f <= frame; ++f) for (const at of strip.changes[f] || []) mask[at] ^= 1;
  return mask;
}

function rgb(name) {
  const canvas = rgb.canvas = rgb.canvas || element("canvas", {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
  canvas.fillStyle = colour(name);
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

// A pixel for each weight, or, where a canvas has fewer, the average of those that fall on it.
function paintMask(canvas, strip, mask, changed) {
  const {width, height} = strip;
  const live = rgb("sparse"), ground = rgb("mask-ground"), born = rgb("born");
  const lost = rgb("lost").map((tone, k) => 0.6 * tone + 0.4 * ground[k]); // they are gone
  const image = new ImageData(width, height);
  const put = (at, tone) => image.data.set([...tone, 255], 4 * at);
  for (let at = 0; at < mask.length; ++at) put(at, mask[at] ? live : ground);
  for (const at of changed) put(at, mask[at] ? born : lost);
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function layerFigure(strip) {
  const canvas = element("canvas", {role: "img", "aria-label": `which weights of ${strip.name} are live`});
  const said = element("span");
  // Neither higher than a hand nor with weights as large as tiles.
  const ratio = strip.height / strip.width;
  canvas.style.aspectRatio = `${strip.width} / ${strip.height}`;
  canvas.style.maxWidth = `min(${14 * strip.width}px, ${(20 / ratio).toFixed(2)}rem)`;
  if (strip.height < 14 && ratio < 0.04) canvas.style.aspectRatio = `${strip.width} / ${Math.ceil(strip.width / 22)}`;
  if (strip.width < 300) canvas.classList.add("sharp");
  const sampled = strip.rowStep * strip.colStep > 1 ? `; drawn: one ${strip.rowStep > 1 ? `unit in ${strip.rowStep}` : `input in ${strip.colStep}`}` : "";
  return {canvas, said, sampled, strip,
    figure: element("figure", {class: "mask"}, element("figcaption", {}, strip.name, said), canvas)};
}

// How many weights each input of the first layer has left, from its mask as drawn.
function countsByInput(strip, mask) {
  const counts = new Array(strip.width).fill(0);
  for (let r = 0, at = 0; r < strip.height; ++r) for (let c = 0; c < strip.width; ++c, ++at) counts[c] += mask[at];
  return counts;
}

// The first layer over the input: an image, if it reads one; the columns of a table; else null.
function inputsOf(run, strips) {
  const first = strips.values().next().value, network = run.network || {};
  if (!first || first.colStep > 1) return null;
  const sample = run.result.sample;
  if (sample && sample.shape[0] * sample.shape[1] * sample.shape[2] === first.cols) return pixelsOf(sample, first);
  if (network.columns && network.column_of_feature && network.column_of_feature.length === first.cols) return columnsOf(network, first);
  return null;
}

function pixelsOf(sample, strip) {
  const [channels, height, width] = sample.shape, pixels = bytesOf(sample.pixels);
  const canvas = element("canvas", {class: "sharp", role: "img", "aria-label": "which pixels the first layer still reads"});
  const said = element("span");
  const figure = element("figure", {class: "mask inputs"}, element("figcaption", {}, "Pixels that are read", said), canvas,
    element("p", {class: "soft"}, "Green: how many weights of the first layer read a pixel. In rust: none does any more. Below it, one of the images it was trained on."));
  const draw = (mask) => {
    const counts = countsByInput(strip, mask), most = Math.max(1, ...counts);
    const live = rgb("sparse"), lost = rgb("lost"), ground = rgb("mask-ground"), ink = rgb("ink");
    const image = new ImageData(width, height);
    let read = 0;
    for (let p = 0; p < width * height; ++p) {
      let weights = 0, light = 0;
      for (let c = 0; c < channels; ++c) weights += counts[c * width * height + p], light += pixels[c * width * height + p] / 255 / channels;
      read += weights > 0;
      const tone = weights ? live : lost, share = weights ? 0.12 + 0.88 * Math.sqrt(weights / most / channels) : 0.22;
      const mixed = ground.map((g, k) => { const under = g + (ink[k] - g) * light * 0.55; return under + (tone[k] - under) * share * (weights ? 0.85 : 1); });
      image.data.set([...mixed, 255], 4 * p);
    }
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    said.textContent = `${count(read)} of ${count(width * height)}`;
  };
  return {figure, draw};
}

function columnsOf(network, strip) {
  const list = element("ul", {class: "columns", tabindex: 0}), said = element("span");
  const figure = element("figure", {class: "mask inputs"}, element("figcaption", {}, "Columns that are read", said), list);
  const draw = (mask) => {
    const counts = countsByInput(strip, mask), weights = new Array(network.columns.length).fill(0);
    counts.forEach((n, feature) => { weights[network.column_of_feature[feature]] += n; });
    const most = Math.max(1, ...weights), order = weights.map((_, c) => c).sort((a, b) => weights[b] - weights[a]);
    const used = new Set(network.column_of_feature); // dates, constants and counters have no feature
    list.replaceChildren(...order.filter((c) => used.has(c)).slice(0, 400).map((c) => element("li", {class: weights[c] ? "" : "gone"},
      element("b", {title: network.columns[c]}, network.columns[c]),
      element("i", {style: `width:${(100 * weights[c] / most).toFixed(1)}%`}), element("em", {}, count(weights[c])))));
    said.textContent = `${count(weights.filter((n) => n > 0).length)} of ${count(used.size)}`;
  };
  return {figure, draw};
}

// The weights of one layer before and after the pruning that the slider stands at.
function histogramsOf(film, position) {
  const told = film.frames.filter((f) => f.line && f.line.layers.some((l) => l.histogram));
  if (told.length === 0) return null;
  const names = told[0].line.layers.map((l) => l.name);
  let name = names[0];
  // Where the slider stands before the first pruning or at the end, the nearest one that has a histogram.
  const shown = () => {
    const at = position();
    const line = (film.frames.slice(0, at + 1).filter((f) => told.includes(f)).at(-1) || told[0]).line;
    title.textContent = `Weights of ${name} before and after the pruning at step ${count(line.pruned_at_step)}`;
    return (line.layers.find((l) => l.name === name) || line.layers[0]).histogram;
  };
  const title = element("h3");
  const middles = (h) => h.before.map((_, i) => ((2 * i + 1) / h.before.length - 1) * h.limit);
  const config = () => {
    const h = shown();
    return {type: "bar", data: {labels: middles(h).map((x) => x.toPrecision(2)), datasets: [
      {label: "after", data: h.after, backgroundColor: colour("sparse"), grouped: false, barPercentage: 1, categoryPercentage: 0.94, order: 1},
      {label: "before", data: h.before, backgroundColor: faint(colour("dense"), 0.45), grouped: false, barPercentage: 1, categoryPercentage: 0.94, order: 2}]},
      options: {scales: {x: axis("value of a weight", {grid: {display: false}}), y: axis("", {ticks: {...axis("").ticks, callback: (v) => short(v)}})}}};
  };
  const figure = chart("Weights before and after a pruning", config, () => {
    const h = shown();
    return table(["value", "before", "after"], middles(h).map((x, i) => [x.toPrecision(3), count(h.before[i]), count(h.after[i])]));
  }, "low");
  const pick = element("select", {id: "histogram-layer", "aria-label": "layer", onchange: (event) => { name = event.target.value; figure.update(); }},
    names.map((n) => element("option", {value: n}, n)));
  return {update: () => figure.update(), content: [title, names.length > 1 ? pick : null, figure]};
}

function masksOf(run) {
  const film = filmOf(run);
  if (film.strips.size === 0 || ![...film.strips.values()].some((s) => s.start || s.changes.some((c) => c.length))) return null;
  const figures = [...film.strips.values()].map(layerFigure), inputs = inputsOf(run, film.strips);
  const last = film.frames.length - 1;
  const slider = element("input", {type: "range", id: "frame", min: 0, max: last, value: last, "aria-label": "pruning step"});
  const said = element("output", {for: "frame"});
  const position = () => Number(slider.value);
  const histograms = histogramsOf(film, position);
  const draw = () => {
    const at = position(), frame = film.frames[at];
    const where = frame.end ? "At the end" : frame.step === null ? "Before the first pruning" : `After the pruning at step ${count(frame.step)}`;
    said.replaceChildren(element("b", {}, where), frame.density === undefined ? "" : `, density ${density(frame.density)}`,
      frame.line && frame.line.layers[0].died !== undefined
        ? `: ${count(frame.line.layers.reduce((n, l) => n + l.died, 0))} connections died, ${count(frame.line.layers.reduce((n, l) => n + l.born, 0))} were born` : "");
    slider.setAttribute("aria-valuetext", said.textContent);
    figures.forEach(({canvas, said: text, sampled, strip}, l) => {
      const mask = maskAt(strip, at);
      paintMask(canvas, strip, mask, frame.end ? [] : strip.changes[at] || []);
      const live = mask.reduce((sum, bit) => sum + bit, 0);
      text.textContent = `${count(strip.rows)} × ${count(strip.cols)}, ${density(live / mask.length)} live${sampled}`;
      if (l === 0 && inputs) inputs.draw(mask);
    });
  };
  slider.addEventListener("input", () => { draw(); if (histograms) histograms.update(); });
  redraws.push(draw);
  queueMicrotask(draw);
  const legend = element("p", {class: "legend"}, [["sparse", "live"], ["lost", "died in this step"], ["born", "born in this step"], ["mask-ground", "pruned"]]
    .map(([tone, text]) => element("span", {}, element("i", {style: `background:var(--${tone})`}), text)));
  const shown = element("div", {class: "mask-list"}, figures.map((f) => f.figure));
  return section("masks", "The masks", element("p", {class: "soft"}, "A point for each weight: a row for each unit, a column for each of its inputs."),
    last > 0 ? element("div", {class: "player"}, playButton(slider, last), slider, said) : element("div", {class: "soft"}, said), legend,
    element("div", {class: inputs ? "masks" : "masks plain"}, inputs ? inputs.figure : null, shown), histograms ? histograms.content : null);
}

// Goes through the frames in about eight seconds.
function playButton(slider, last) {
  let timer = null;
  const button = element("button", {type: "button", id: "play"}, "▶ play");
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "▶ play"; };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === last) slider.value = 0;
    button.textContent = "❚❚ pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      slider.dispatchEvent(new Event("input"));
      if (Number(slider.value) >= last) stop();
    }, Math.min(600, Math.max(60, 8000 / last)));
  });
  return button;
}

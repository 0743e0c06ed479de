// The panels of one run. Each is a function that returns a section, or null where the run has nothing for it.

// The metric that test sets are judged by: its title, whether more is better, how it is written, points of difference.
function metricOf(result) {
  const accurate = result.sparse.test_accuracy !== undefined;
  return accurate
    ? {key: "test_accuracy", validation: "validation_accuracy", title: "accuracy", rises: true, text: (x) => percent(x, 2)}
    : {key: "test_rmse", validation: "validation_rmse", title: "RMSE", rises: false, text: (x) => `${Number(x.toPrecision(4))}`};
}

function methodOf(result) {
  return result.control && result.control !== "none" ? `${result.method}, control ${result.control}` : result.method;
}

function heroOf(run) {
  const r = run.result;
  const facts = [`${plural(r.epochs, "epoch")}`, `seed ${r.seed}`, `batches of ${r.batch}`, plural(r.threads, "thread"), r.processor];
  if (r.members > 1) facts.unshift(`average of ${r.members} networks`);
  if (r.sparse.units) facts.unshift(`${count(r.sparse.units.kept)} of ${count(r.sparse.units.before)} units left`);
  return section("run", null,
    element("p", {class: "eyebrow"}, run.folder),
    element("h1", {}, `${r.model} on ${r.dataset}, ${density(r.sparse.density)} of its weights kept`),
    element("p", {class: "lead"}, sentenceOf(run)),
    element("p", {class: "soft"}, `Pruned by ${methodOf(r)}${r.schedule !== "none" ? `, schedule ${r.schedule}` : ""}. ${facts.join(" · ")}. Data: ${r.provenance}.`),
    (r.notes || []).map((note) => element("p", {class: "note"}, note)));
}

// What became of it, in words: first what was won and lost, then at what price.
function sentenceOf(run) {
  const r = run.result, metric = metricOf(r);
  if (!r.dense) return `No dense network was trained beside it. Test ${metric.title}: ${metric.text(r.sparse[metric.key])}.`;
  const said = ["parameters", "file_bytes", "train_step", "latency"].map((key) => run.quantities.find((q) => q.key === key))
    .filter((q) => q && q.ratio !== null);
  const part = (q) => `${times(q.ratio >= 1 ? q.ratio : 1 / q.ratio)} ${q.word} ${
    {parameters: "parameters", file_bytes: "on disk", train_step: "in a training step", latency: "for a single sample"}[q.key]}`;
  return `Beside the same network trained without pruning: ${said.map(part).join(", ")}.`;
}

function scoresOf(run) {
  const r = run.result, metric = metricOf(r);
  const value = r.sparse[metric.key], dense = r.dense && r.dense[metric.key];
  if (value === null || value === undefined) return null;
  const score = (name, text, kind) => element("div", {class: "score"}, element("div", {class: `figure ${kind}`}, text),
    element("div", {class: "soft"}, name));
  const scores = [];
  if (dense !== null && dense !== undefined) scores.push(score(`test ${metric.title}, dense`, metric.text(dense), "of-dense"));
  scores.push(score(`test ${metric.title}, sparse`, metric.text(value), "sparse"));
  if (dense) {
    const difference = value - dense;
    const text = metric.rises ? `${difference >= 0 ? "+" : "−"}${Math.abs(100 * difference).toFixed(2)}`
      : `${difference >= 0 ? "+" : "−"}${Math.abs(100 * difference / dense).toFixed(1)} %`;
    const worse = metric.rises ? difference < 0 : difference > 0;
    scores.push(score(metric.rises ? "percentage points" : "of the dense error", text, worse ? "lost" : "sparse"));
  }
  return element("div", {class: "scores"}, scores);
}

function versusOf(run) {
  const rows = run.quantities.filter((q) => q.dense !== null && q.dense > 0 && !/accuracy|AUC|RMSE|MAE|R2|entropy/.test(q.title));
  if (rows.length === 0 && !scoresOf(run)) return null;
  const grid = element("div", {class: "versus"}, rows.map((q) => {
    const largest = Math.max(q.dense, q.sparse), ratio = q.dense / q.sparse, lost = ratio < 1;
    const bar = (value, text, kind) => element("div", {class: kind}, element("i", {style: `width:${(62 * value / largest).toFixed(2)}%`}), text);
    const word = q.word || (lost ? "more" : "less");
    return element("div", {class: "quantity"}, element("div", {class: "name"}, q.title),
      element("div", {class: "track"}, bar(q.dense, `${q.dense_text} dense`, "of-dense"),
        bar(q.sparse, `${q.sparse_text}`, lost ? "of-sparse lost" : "of-sparse")),
      element("div", {class: lost ? "ratio lost" : "ratio"}, times(lost ? 1 / ratio : ratio), element("small", {}, word)));
  }));
  const head = ["", "dense", "sparse", "dense / sparse"];
  return section("versus", run.result.dense ? "Dense against sparse" : "What is left", scoresOf(run), rows.length ? grid : null,
    folded("the same as a table", () => table(head, run.quantities.map((q) =>
      [q.title, q.dense_text, q.sparse_text, q.ratio === null ? "" : times(q.ratio)]))));
}

// --- over epochs and over FLOPs ---

// [{name, side, points: [{epoch, flops, ...line}]}]: a curve for each training, FLOPs added up.
function curvesOf(run, name = (side) => side) {
  const curves = {};
  for (const line of run.metrics) {
    if (line.epoch === undefined) continue;
    const curve = curves[line.side] = curves[line.side] || {name: name(line.side), side: line.side, points: []};
    const last = curve.points.at(-1);
    // Rounds of whole trainings stand one behind the other.
    const epoch = last && line.epoch <= last.epoch ? last.at + 1 : last ? last.at + line.epoch - last.epoch : line.epoch;
    curve.points.push({...line, at: epoch, flops: (last ? last.flops : 0) + (line.train_flops_executed || 0)});
  }
  return Object.values(curves);
}

function curvesPanel(curves, metric, paint) {
  const has = (key) => curves.some((c) => c.points.some((p) => typeof p[key] === "number"));
  const ys = [[metric.validation, `validation ${metric.title}`], ["train_loss", "training loss"], ["validation_loss", "validation loss"],
    ["density", "density"]].filter(([key]) => has(key));
  if (ys.length === 0) return null;
  let y = ys[0][0], x = "at";
  const title = () => ys.find(([key]) => key === y)[1];
  const text = (value) => y === metric.validation ? metric.text(value) : y === "density" ? density(value) : `${Number(value.toPrecision(4))}`;
  const config = () => ({
    type: "line",
    data: {datasets: curves.map((c, i) => ({label: c.name, data: c.points.filter((p) => typeof p[y] === "number").map((p) => ({x: p[x], y: p[y]})),
      borderWidth: 2, cubicInterpolationMode: "monotone", pointRadius: c.points.length > 40 ? 0 : 2, pointHitRadius: 10, ...paint(c, i)}))},
    options: {interaction: {mode: "nearest", intersect: false},
      scales: {x: axis(x === "at" ? "epochs" : "training FLOPs", {type: "linear", min: 0, ticks: {...axis("").ticks, callback: (v) => x === "at" && v % 1 ? null : short(v)}}),
        y: axis("", {ticks: {...axis("").ticks, callback: (v) => y === "density" || metric.rises && y === metric.validation ? percent(v) : short(v)}})},
      plugins: {tooltip: {callbacks: {title: (items) => `${x === "at" ? `epoch ${items[0].parsed.x}` : `${short(items[0].parsed.x)}FLOPs`}`,
        label: (item) => `${item.dataset.label}: ${text(item.parsed.y)}`}}}},
  });
  const figure = chart("Learning curves", config, () => table(["", "epoch", "FLOPs so far", ...ys.map(([, t]) => t)],
    curves.flatMap((c) => c.points.map((p) => [c.title || c.name, p.at, short(p.flops), ...ys.map(([key]) => typeof p[key] === "number" ? Number(p[key].toPrecision(5)) : "")]))));
  return section("curves", "Over the training",
    element("p", {class: "soft"}, "A sparse step costs less: over epochs the two networks see the same data, over FLOPs they do the same work."),
    !hasCharts ? null : element("div", {class: "choices"},
      choice("show", ys, y, (value) => { y = value; figure.setAttribute("aria-label", title()); figure.update(); }),
      choice("over", [["at", "epochs"], ["flops", "FLOPs"]], x, (value) => { x = value; figure.update(); })),
    figure);
}

function curvesOfRun(run) {
  return curvesPanel(curvesOf(run), metricOf(run.result), (c) => ({borderColor: colour(c.side), backgroundColor: colour(c.side)}));
}

// --- layer by layer ---

function layersOf(run) {
  const layers = run.result.layers || [];
  if (layers.length === 0) return null;
  const timed = layers.filter((l) => l.dense_seconds && l.seconds > 0 && l.forward_flops_executed > 0);
  const theory = (l) => l.dense_forward_flops / l.forward_flops_executed;
  const measured = (l) => l.dense_seconds / l.seconds;
  const kept = (l) => Math.round(l.density * l.shape[0] * l.shape[1]);
  const config = () => ({
    type: "bar",
    data: {labels: timed.map((l) => l.name), datasets: [
      {label: "fewer FLOPs", base: 1, data: timed.map(theory), backgroundColor: faint(colour("dense"), 0.55)},
      {label: "faster, measured", base: 1, data: timed.map(measured), backgroundColor: timed.map((l) => colour(measured(l) < 1 ? "lost" : "sparse"))}]},
    options: {indexAxis: "y", scales: {x: axis("times, logarithmic; left of 1: slower than dense", {type: "logarithmic",
      min: 0.85 * Math.min(1, ...timed.map(theory), ...timed.map(measured)), grid: {color: (c) => c.tick && c.tick.value === 1 ? colour("ink") : colour("line"), drawTicks: false},
      ticks: {...axis("").ticks, callback: (v) => [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].includes(v) ? `${v}×` : ""}}), y: axis("", {grid: {display: false}})},
      plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${times(item.parsed.x)}`}}}},
  });
  const all = () => table(["layer", "weights", "kept", "density", "kernel", "in the file", "FLOPs", "a tile takes", ...(timed.length ? ["fewer FLOPs", "faster"] : [])],
    layers.map((l) => [l.name, `${l.shape[0]} × ${l.shape[1]}`, count(kept(l)), density(l.density), l.kernel.startsWith(l.storage) ? l.kernel : `${l.storage}, ${l.kernel}`,
      l.file_bytes ? `${bytes(l.file_bytes)} ${l.file_form}` : l.file_form, short(l.forward_flops_executed),
      l.dense_seconds ? `${seconds(l.dense_seconds)} → ${seconds(l.seconds)}` : seconds(l.seconds), ...(l.dense_seconds ? [times(theory(l)),
        element("span", {class: measured(l) < 1 ? "lost" : "sparse"}, `${times(measured(l))}${measured(l) < 1 ? " slower" : ""}`)] : [])]));
  const losers = timed.filter((l) => measured(l) < 1).map((l) => l.name);
  const content = [all()];
  if (timed.length > 0) {
    content.unshift(element("p", {class: "soft"}, losers.length
      ? `FLOPs promise more than a processor keeps. Slower than dense here: ${losers.join(", ")}.`
      : "FLOPs promise more than a processor keeps; no layer is slower than dense here."));
    if (hasCharts) {
      const figure = chart("Speed-up of each layer, in FLOPs and measured", config, () => table(["layer", "fewer FLOPs", "faster, measured"],
        timed.map((l) => [l.name, times(theory(l)), times(measured(l))])));
      figure.firstChild.style.height = `${7 + 2.6 * timed.length}rem`;
      content.splice(1, 0, figure);
    }
  }
  return section("layers", "Layer by layer", content);
}

// --- what died and was born ---

function changesOf(run) {
  let prunings = run.metrics.filter((line) => line.pruned_at_step !== undefined && line.layers.length && line.layers[0].died !== undefined);
  if (prunings.length === 0) return null;
  // What was never trained has not died: a network that is sparse from the start begins there.
  if (prunings.length > 1 && prunings[0].pruned_at_step === 0) prunings = prunings.slice(1);
  const sum = (line, key) => line.layers.reduce((total, l) => total + l[key], 0);
  const steps = prunings.map((line) => line.pruned_at_step);
  const born = prunings.map((line) => sum(line, "born")), died = prunings.map((line) => sum(line, "died"));
  const dynamic = born.some((n) => n > 0);
  const rows = () => table(["step", "density", "died", "born", ...(dynamic ? ["ever live"] : []), "inputs read", "units with an input"],
    prunings.map((line, i) => [steps[i], density(line.density), count(died[i]), count(born[i]), ...(dynamic ? [everLive(line)] : []),
      count(line.layers[0].inputs), count(sum(line, "outputs"))]));
  const bars = () => ({type: "bar", data: {labels: steps, datasets: [
    {label: "died", data: died.map((n) => dynamic ? -n : n), backgroundColor: colour("lost"), barPercentage: 1, categoryPercentage: 0.92},
    {label: "born", data: born, backgroundColor: colour("born"), barPercentage: 1, categoryPercentage: 0.92}].filter((d) => d.label === "died" || dynamic)},
    options: {scales: {x: axis("step", {stacked: true, grid: {display: false}}), y: axis("", {stacked: true, ticks: {...axis("").ticks, callback: (v) => short(Math.abs(v))}})},
      plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${count(Math.abs(item.parsed.y))}`}}}}});
  const text = dynamic
    ? "Connections that were given up, and others that grew in their place. A weight that was ever live has been tried; a method explores by trying more of them than it keeps."
    : "How many connections each pruning removed.";
  return section("changes", dynamic ? "Died and born" : "What went, and when", element("p", {class: "soft"}, text),
    chart("Connections that died and were born at each pruning", bars, rows, "low"),
    dynamic ? explorationOf(prunings, steps) : null, hasCharts ? unitsOf(prunings, steps) : null);
}

function everLive(line) {
  const layers = line.layers.filter((l) => l.explored !== undefined);
  if (layers.length < line.layers.length) return "";
  const size = (l) => l.kept / l.density;
  return percent(layers.reduce((sum, l) => sum + l.explored * size(l), 0) / layers.reduce((sum, l) => sum + size(l), 0), 1);
}

// A line for each layer over the prunings, as a percentage.    value(layer): a fraction, or undefined
function linesOf(title, prunings, steps, value, extra = []) {
  const names = prunings[0].layers.map((l) => l.name).slice(0, 12);
  const tones = ["sparse", "born", "lost", "dense", "ink"];
  const series = names.map((name, i) => ({label: name, tone: tones[i % tones.length],
    values: prunings.map((line) => { const l = line.layers.find((other) => other.name === name); return l ? value(l) : undefined; })}))
    .concat(extra).filter((s) => s.values.some((v) => v !== undefined));
  if (series.length === 0) return null;
  const config = () => ({type: "line", data: {datasets: series.map((s, i) => ({label: s.label, data: s.values.map((v, k) => ({x: steps[k], y: v === undefined ? null : 100 * v})),
    borderColor: colour(s.tone), backgroundColor: colour(s.tone), borderWidth: 2, borderDash: i >= 5 ? [5, 3] : [], pointRadius: steps.length > 40 ? 0 : 2, pointHitRadius: 10, stepped: true}))},
    options: {interaction: {mode: "index", intersect: false}, scales: {x: axis("step", {type: "linear", min: 0, ticks: {...axis("").ticks, callback: (v) => short(v)}}),
      y: axis("", {min: 0, suggestedMax: 100, ticks: {...axis("").ticks, callback: (v) => `${v} %`}})},
      plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${item.parsed.y.toFixed(1)} %`}}}}});
  return [element("h3", {}, title), chart(title, config, () => table(["step", ...series.map((s) => s.label)],
    steps.map((step, k) => [step, ...series.map((s) => s.values[k] === undefined ? "" : percent(s.values[k]))])), "low")];
}

function explorationOf(prunings, steps) {
  return linesOf("Weights that were ever live, of each layer", prunings, steps, (l) => l.explored);
}
function unitsOf(prunings, steps) {
  const rows = {}; // of each layer, as many as there ever were
  for (const line of prunings) for (const l of line.layers) rows[l.name] = Math.max(rows[l.name] || 0, l.outputs);
  if (prunings.every((line) => line.layers.every((l) => l.outputs === rows[l.name])))
    return element("p", {class: "soft"}, "Every unit still has an input in the end.");
  return linesOf("Units that still have an input, of each layer", prunings, steps, (l) => l.outputs / rows[l.name]);
}

// --- what is taken for what ---

function confusionOf(run) {
  const {classes, confusion} = run.result;
  if (!classes || !confusion || Object.keys(confusion).length === 0) return null;
  const of = (truth, answer) => (confusion[truth] || {})[answer] || 0;
  const mistakes = classes.flatMap((truth) => classes.filter((a) => a !== truth).map((answer) => [truth, answer, of(truth, answer)]))
    .filter(([, , n]) => n > 0).sort((a, b) => b[2] - a[2]).slice(0, 12);
  const list = mistakes.length ? table(["class", "taken for", "samples"], mistakes.map(([truth, answer, n]) => [truth, answer, count(n)])) : null;
  const text = element("p", {class: "soft"}, "The sparse network on the test set: a row for each class, a column for each answer.");
  const most = 26;
  if (classes.length > most) return section("confusion", "What is taken for what", list);
  const share = (truth, answer) => of(truth, answer) / Math.max(1, classes.reduce((sum, a) => sum + of(truth, a), 0));
  const cell = (truth, answer) => {
    const part = share(truth, answer);
    const tone = truth === answer ? "sparse" : "lost";
    const strength = part === 0 ? 0 : truth === answer ? 15 + 45 * part : Math.min(75, 12 + 300 * part);
    return element("td", {title: `${truth} taken for ${answer}: ${of(truth, answer)} (${percent(part)})`,
      style: `background:color-mix(in srgb, var(--${tone}) ${strength.toFixed(0)}%, transparent)`}, of(truth, answer) || "");
  };
  const grid = element("div", {class: "table", tabindex: 0, role: "region", "aria-label": "confusion matrix"}, element("table", {class: "confusion"},
    element("thead", {}, element("tr", {}, element("th", {}, ""), classes.map((c) => element("th", {scope: "col"}, c)))),
    element("tbody", {}, classes.map((truth) => element("tr", {}, element("th", {scope: "row"}, truth), classes.map((answer) => cell(truth, answer)))))));
  return section("confusion", "What is taken for what", text, grid, list && mistakes.length ? element("details", {}, element("summary", {}, "the most frequent mistakes"), list) : null);
}

function baselinesOf(run) {
  const {baselines} = run.result, metric = metricOf(run.result);
  if (!baselines) return null;
  const rows = Object.entries(baselines).map(([name, b]) => [name, b.failed ? b.failed : b[metric.key] === null ? "" : metric.text(b[metric.key]), b.parameters ? count(b.parameters) : ""]);
  rows.push(["sparse network", metric.text(run.result.sparse[metric.key]), count(run.result.sparse.nonzeros)]);
  if (run.result.dense) rows.push(["dense network", metric.text(run.result.dense[metric.key]), count(run.result.dense.parameters)]);
  return section("baselines", "What it has to beat", table(["", `test ${metric.title}`, "parameters"], rows));
}

function againOf(run) {
  if (!run.config) return null;
  const spent = run.result.sparse;
  const price = spent.event_seconds > 0 && spent.train_seconds > 0
    ? ` Writing down metrics and masks took ${seconds(spent.event_seconds)}, ${percent(spent.event_seconds / spent.train_seconds, 2)} of the training.` : "";
  return section("again", "Again", element("p", {}, "The same bits, on any number of threads: ",
    element("code", {}, `espalier train --config ${run.folder}/config.toml --out again`), `.${price}`),
    element("details", {}, element("summary", {}, "config.toml"), element("pre", {}, run.config)));
}

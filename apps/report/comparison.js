// The panels of several runs side by side.

// The shape in which weights went; a result does not say it, its configuration does.
function structureOf(run) {
  const found = /^structure = ['"](.*)['"]$/m.exec(run.config || "");
  return found && found[1] !== "elements" ? found[1] : null;
}

// A run that was to keep every weight is the dense network, whatever its method.
function isDense(run) { return run.result.density === 1 && (run.result.control || "none") === "none"; }

// What tells a curve of the comparison from the others.
function titleOf(run) {
  return isDense(run) ? "dense" : [methodOf(run.result), structureOf(run)].filter(Boolean).join(", ");
}

// Runs that differ in seed and density alone are one series; their dense twins are another.
function seriesOf(runs) {
  const several = (key) => new Set(runs.map((run) => run.result[key])).size > 1;
  const name = (run, r = run.result) => [titleOf(run), several("model") ? r.model : null, several("dataset") ? r.dataset : null, several("epochs") ? plural(r.epochs, "epoch") : null]
    .filter(Boolean).join(", ");
  const series = new Map();
  const add = (title, at, point) => {
    if (!series.has(title)) series.set(title, new Map());
    const groups = series.get(title);
    if (!groups.has(at)) groups.set(at, []);
    groups.get(at).push(point);
  };
  const twins = new Set();
  const twinOf = (r, side) => JSON.stringify([r.model, r.dataset, r.seed, r.epochs, side && side.test_loss]);
  for (const run of runs) {
    const r = run.result;
    if (isDense(run)) twins.add(twinOf(r, r.sparse));
    add(isDense(run) && several("model") ? `dense, ${r.model}` : isDense(run) ? "dense" : name(run), r.density, {run, side: r.sparse});
  }
  for (const run of runs) {
    const r = run.result;
    // One twin of each seed, though every density was compared with it.
    const twin = twinOf(r, r.dense);
    if (r.dense && !twins.has(twin)) add(several("model") ? `dense, ${r.model}` : "dense", 1, {run, side: r.dense});
    twins.add(twin);
  }
  return [...series].map(([title, groups]) => ({title, groups: [...groups].sort((a, b) => a[0] - b[0])
    .map(([at, points]) => ({density: at, points}))}));
}

const costs = [["nonzeros", "weights that are left"], ["forward_flops", "FLOPs of a sample"], ["file_bytes", "bytes of the model's file"],
  ["train_step_seconds", "seconds of a training step"], ["inference_seconds", "seconds of inference, a batch"], ["train_flops_executed", "FLOPs of the whole training"]];

function tone(i) { return ["sparse", "born", "lost", "ink"][i % 4]; }
function dash(i) { return [[], [6, 3], [2, 3]][Math.floor(i / 4) % 3]; }

function comparisonHero(runs) {
  const names = (key) => [...new Set(runs.map((run) => run.result[key]))].join(", ");
  return section("run", null, element("p", {class: "eyebrow"}, plural(runs.length, "run")),
    element("h1", {}, `${names("model")} on ${names("dataset")}`),
    element("p", {class: "lead"}, `Methods: ${[...new Set(runs.map(titleOf))].join("; ")}. Densities: ${[...new Set(runs.map((run) => density(run.result.density)))].join(", ")}. Seeds: ${names("seed")}.`),
    element("p", {class: "soft"}, `${names("processor")}. Times of different runs are comparable only if the machine was as quiet in all of them.`));
}

function paretoOf(runs) {
  const metric = metricOf(runs[0].result), series = seriesOf(runs);
  let cost = costs[0][0];
  const y = (point) => point.side[metric.key];
  const middle = (group, key) => ({x: mean(group.points.map((p) => p.side[key])), y: mean(group.points.map(y)), sd: deviation(group.points.map(y)), n: group.points.length, density: group.density});
  const usable = (s) => ({...s, groups: s.groups.map((g) => ({...g, points: g.points.filter((p) => typeof y(p) === "number" && p.side[cost] > 0)})).filter((g) => g.points.length)});
  const order = series.filter((s) => !s.title.startsWith("dense")).map((s) => s.title);
  const datasets = () => series.map(usable).flatMap((s) => {
    const i = order.indexOf(s.title), c = colour(i < 0 ? "dense" : tone(i));
    const means = s.groups.map((g) => middle(g, cost)).sort((a, b) => a.x - b.x);
    const edge = (sign) => ({label: `± ${s.title}`, data: means.map((m) => ({x: m.x, y: m.y + sign * m.sd})), pointRadius: 0, borderWidth: 0, backgroundColor: faint(c, 0.16)});
    return [{label: s.title, data: means, borderColor: c, backgroundColor: c, borderWidth: 2, borderDash: dash(Math.max(0, i)), pointRadius: 4},
      {...edge(-1), fill: "+1"}, edge(1),
      {label: `± each ${s.title}`, data: s.groups.flatMap((g) => g.points.map((p) => ({x: p.side[cost], y: y(p), seed: p.run.result.seed}))), showLine: false, pointRadius: 2.5, backgroundColor: faint(c, 0.45), borderWidth: 0}];
  });
  const text = (value) => cost.endsWith("seconds") ? seconds(value) : cost === "file_bytes" ? bytes(value) : short(value);
  const config = () => ({type: "line", data: {datasets: datasets()}, options: {parsing: true, interaction: {mode: "nearest", intersect: true},
    scales: {x: axis(`${costs.find(([key]) => key === cost)[1]}, logarithmic`, {type: "logarithmic", ticks: {...axis("").ticks, callback: (v) => /^[125]/.test(v.toExponential()) ? text(v) : ""}}),
      y: axis(`test ${metric.title}`, {ticks: {...axis("").ticks, callback: (v) => metric.rises ? percent(v) : short(v)}})},
    plugins: {tooltip: {filter: (item) => !item.dataset.label.startsWith("± ") || item.dataset.label.startsWith("± each"), callbacks: {label: (item) => {
      const raw = item.raw;
      return raw.n ? `${item.dataset.label}, density ${density(raw.density)}: ${metric.text(raw.y)}${raw.n > 1 ? ` ± ${metric.text(raw.sd)} (${plural(raw.n, "seed")})` : ""}`
        : `${item.dataset.label.slice(7)}, seed ${raw.seed}: ${metric.text(raw.y)}`;
    }}}}}});
  const rows = () => table(["", "density", "seeds", `test ${metric.title}`, "±", ...costs.map(([, title]) => title)], series.flatMap((s) => s.groups.map((g) => {
    const m = middle(g, "nonzeros");
    return [s.title, density(g.density), m.n, Number.isFinite(m.y) ? metric.text(m.y) : "", m.n > 1 ? metric.text(m.sd) : "",
      ...costs.map(([key]) => { const x = mean(g.points.map((p) => p.side[key]).filter((v) => typeof v === "number")); return key.endsWith("seconds") ? seconds(x) : key === "file_bytes" ? bytes(x) : Number.isFinite(x) ? short(x) : ""; })];
  })));
  const figure = chart("Test metric against what it costs", config, rows);
  const pick = element("select", {id: "cost", onchange: (event) => { cost = event.target.value; figure.update(); }}, costs.map(([key, title]) => element("option", {value: key}, title)));
  return section("pareto", "What it costs to be right", element("p", {class: "soft"}, metric.rises ? "Better is up and to the left. Small points are seeds; the band is one standard deviation around their mean."
    : "Better is down and to the left. Small points are seeds; the band is one standard deviation around their mean."),
    hasCharts ? element("p", {}, element("label", {for: "cost", class: "soft"}, "against "), pick) : null, figure);
}

function comparedCurves(runs) {
  const curves = runs.slice(0, 40).flatMap((run) => curvesOf(run, (side) => side === "dense" || isDense(run) ? "dense" : `${titleOf(run)}, ${density(run.result.density)}`)
    .map((curve) => ({...curve, title: `${curve.name}, seed ${run.result.seed}`})));
  const groups = [...new Set(curves.map((c) => c.name))].filter((name) => name !== "dense");
  return curvesPanel(curves, metricOf(runs[0].result), (c) => {
    const i = groups.indexOf(c.name), at = colour(i < 0 ? "dense" : tone(i));
    return {borderColor: at, backgroundColor: at, borderWidth: 1.5, borderDash: dash(Math.max(0, i)), pointRadius: c.points.length < 5 ? 2.5 : 0};
  });
}

// Folders without what all of them begin with.
function shortFolders(runs) {
  const parts = runs.map((run) => run.folder.split("/"));
  let same = 0;
  while (parts.every((p) => p.length > same + 1 && p[same] === parts[0][same])) ++same;
  return parts.map((p) => p.slice(same).join("/"));
}

function runTable(runs) {
  const folders = shortFolders(runs);
  const metric = metricOf(runs[0].result);
  return section("runs", "The runs", table(["folder", "method", "density", "seed", `test ${metric.title}`, "dense", "nonzeros", "file", "training step", "training"], runs.map((run, i) => {
    const r = run.result, value = (side) => side && typeof side[metric.key] === "number" ? metric.text(side[metric.key]) : "";
    return [folders[i], titleOf(run), density(r.density), r.seed, value(r.sparse), value(r.dense), count(r.sparse.nonzeros), bytes(r.sparse.file_bytes), seconds(r.sparse.train_step_seconds), r.sparse.trained_beside > 1 ? "not timed" : seconds(r.sparse.train_seconds)];
  })));
}

"use strict";
// What all panels are made of: elements, numbers for people, colours, tables, charts. Names from the data become text
// nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);

// element("p", {class: "soft"}, "text", another element, ...); null children are left out.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) made.append(child);
  return made;
}

// --- numbers ---

const whole = new Intl.NumberFormat("en");
function count(n) { return whole.format(Math.round(n)); }
function short(n) {
  if (n === null || n === undefined) return "";
  for (const [unit, sign] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(n) >= unit) return `${Number((n / unit).toPrecision(3))} ${sign}`;
  return `${Number(n.toPrecision(3))}`;
}
function percent(fraction, digits = 1) { return `${(100 * fraction).toFixed(digits)}\u00a0%`; }
function density(fraction) { return `${Number((100 * fraction).toPrecision(3))}\u00a0%`; }
function seconds(s) {
  if (!(s > 0)) return "not timed";
  for (const [unit, sign] of [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]])
    if (s >= unit) return `${Number((s / unit).toPrecision(3))} ${sign}`;
  return `${Number((s * 1e9).toPrecision(3))} ns`;
}
function bytes(n) {
  return n >= 1e6 ? `${Number((n / 1e6).toPrecision(3))} MB` : n >= 1e3 ? `${Number((n / 1e3).toPrecision(3))} KB` : `${n} B`;
}
function times(ratio) { return `${ratio >= 100 ? ratio.toFixed(0) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2)}×`; }
function plural(n, word) { return `${count(n)} ${word}${n === 1 ? "" : "s"}`; }
function mean(xs) { return xs.reduce((sum, x) => sum + x, 0) / xs.length; }
function deviation(xs) {
  if (xs.length < 2) return 0;
  const m = mean(xs);
  return Math.sqrt(xs.reduce((sum, x) => sum + (x - m) ** 2, 0) / (xs.length - 1));
}

// --- colours ---

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }
function faint(hex, alpha) { return hex + Math.round(255 * alpha).toString(16).padStart(2, "0"); }

const redraws = []; // what depends on colours, again when they change
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function chooseTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const redraw of redraws) redraw();
}

// --- tables and charts ---

// rows: of texts, numbers, or elements
function table(head, rows, name = "") {
  return element("div", {class: "table", tabindex: 0, role: "region", "aria-label": name || "table"},
    element("table", {class: name},
      element("thead", {}, element("tr", {}, head.map((text) => element("th", {scope: "col"}, text)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) =>
        element("td", {}, cell === null || cell === undefined ? "" : cell instanceof Node ? cell : String(cell))))))));
}

// A table that is made when it is asked for.
function folded(title, make) {
  const details = element("details", {}, element("summary", {}, title));
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(make()); });
  return details;
}

const hasCharts = typeof Chart !== "undefined";

function axis(title, more = {}) {
  return {
    title: {display: Boolean(title), text: title, color: colour("soft")},
    grid: {color: colour("line"), drawTicks: false},
    border: {display: false},
    ticks: {color: colour("soft"), maxRotation: 0, autoSkipPadding: 14, padding: 6},
    ...more,
  };
}

// Data sets of one name have one entry, which shows and hides them all; those that begin with ± have none.
function legend(sets) {
  const name = (set) => set.label.replace(/^± (each )?/, "");
  return {
    labels: {color: colour("ink"), boxWidth: 14, boxHeight: 2,
      filter: (item) => sets.findIndex((set) => set.label === item.text) === item.datasetIndex && !item.text.startsWith("±")},
    onClick: (event, item, {chart}) => {
      const visible = chart.isDatasetVisible(item.datasetIndex);
      sets.forEach((set, i) => { if (name(set) === item.text) chart.setDatasetVisibility(i, !visible); });
      chart.update();
    },
  };
}

// A chart and the same as a table. config(): for Chart.js, in the colours of the moment. The result has .update().
function chart(label, config, makeTable, size = "") {
  const box = element("div", {class: "figure-box"});
  if (!hasCharts) {
    box.update = () => box.replaceChildren(makeTable());
    box.update();
    return box;
  }
  const canvas = element("canvas", {role: "img", "aria-label": label});
  let drawn = null;
  let details = null;
  box.append(element("div", {class: `chart ${size}`}, canvas));
  box.update = () => {
    if (drawn) drawn.destroy();
    const made = config();
    made.options = {responsive: true, maintainAspectRatio: false, animation: false, ...made.options};
    made.options.plugins = {
      legend: legend(made.data.datasets),
      ...made.options.plugins,
    };
    drawn = new Chart(canvas, made);
    const fresh = folded("the same as a table", makeTable);
    if (details) details.replaceWith(fresh); else box.append(fresh);
    details = fresh;
  };
  redraws.push(() => box.update());
  queueMicrotask(() => { if (canvas.isConnected) box.update(); });
  return box;
}

// Radio buttons: options are [value, text]; changed(value).
function choice(question, options, chosen, changed) {
  const name = `choice-${choice.made = (choice.made || 0) + 1}`;
  return element("fieldset", {}, element("legend", {}, question), options.map(([value, text]) =>
    element("label", {}, element("input", {type: "radio", name, value, checked: value === chosen,
      onchange: () => changed(value)}), element("span", {}, text))));
}

function section(id, title, ...content) {
  return element("section", {id}, title ? element("h2", {}, title) : null, content);
}

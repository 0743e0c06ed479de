// Puts the panels together that there are data for.

function build() {
  const page = document.getElementById("page"), [run] = data.runs;
  const panels = data.runs.length > 1
    ? [[comparisonHero, ""], [paretoOf, "Cost"], [comparedCurves, "Training"], [runTable, "Runs"]].map(([make, name]) => [make(data.runs), name])
    : [[heroOf, ""], [versusOf, "Dense and sparse"], [curvesOfRun, "Training"], [masksOf, "Masks"], [layersOf, "Layers"], [changesOf, "Changes"],
      [confusionOf, "Confusion"], [baselinesOf, "Baselines"], [againOf, "Again"]].map(([make, name]) => [make(run), name]);
  const there = panels.filter(([panel]) => panel);
  page.replaceChildren(...there.map(([panel]) => panel));
  page.firstChild.classList.add("hero");
  document.getElementById("contents").append(...there.filter(([, name]) => name).map(([panel, name]) => element("a", {href: `#${panel.id}`}, name)));
  document.title = `${page.querySelector("h1").textContent} · Espalier`;
  document.getElementById("made").textContent = `Made by Espalier ${data.version}. Everything on this page is in this one file.${hasCharts ? "" : " It was built without a library of charts, and has tables in their place."}`;
  if (!hasCharts) document.getElementById("licence").remove();
}

if (hasCharts) Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
try { // a browser may refuse to remember
  if (localStorage.getItem("espalier-theme")) document.documentElement.dataset.theme = localStorage.getItem("espalier-theme");
} catch { /* as the system has it */ }
build();

function otherTheme() {
  chooseTheme(isDark() ? "light" : "dark");
  try { localStorage.setItem("espalier-theme", document.documentElement.dataset.theme); } catch { /* for now only */ }
}
document.getElementById("theme").addEventListener("click", otherTheme);
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.tagName !== "SELECT") otherTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const redraw of redraws) redraw(); });

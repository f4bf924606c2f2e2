// The view of one label (its curves over the cells) and of one cell, chosen by the address: #label:COLUMN and #cell:CELL.
const detail = document.getElementById("detail");
const tints = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#555555"];
const tintOf = (at) => tints[at % tints.length];
async function plot(place, title, axes, x, series) {
  if (!window.uPlot) await loadScript("parts/uplot.js");
  const box = make("div");
  place.append(box);
  const lines = series.map((one, at) => ({ label: one.name, stroke: one.colour ?? tintOf(at), width: one.width ?? 1.5, dash: one.dash, scale: one.scale ?? "y", spanGaps: true, points: { show: false }, value: (_, value) => (value == null ? "-" : value.toPrecision(4)) }));
  const room = () => Math.max(240, Math.min(460, place.clientWidth - 12 || 460)), width = room();
  const options = { title, width, height: 360, series: [{ label: axes[0], value: (_, value) => (value == null ? "-" : Number(value.toPrecision(4)).toString()) }, ...lines], scales: { x: { time: false } }, legend: { show: series.length <= 12 }, focus: { alpha: 0.25 }, cursor: { focus: { prox: 24 } }, axes: [{ label: axes[0] }, { label: axes[1] }] };
  if (series.some((one) => one.scale)) options.axes.push({ side: 1, scale: "right", label: "loss", grid: { show: false } });
  const named = make("p", "Move the mouse over the plot.", { class: "small" });
  options.hooks = { setSeries: [(chart, at) => { if (at) named.textContent = chart.series[at].label; }] };
  const chart = new window.uPlot(options, [x, ...series.map((one) => one.y)], box);
  box.append(named);
  new ResizeObserver(() => { if (room() !== chart.width) chart.setSize({ width: room(), height: 360 }); }).observe(place);
  return chart;
}
function tableOf(title, headings, rows) {
  const table = make("table"), head = make("tr");
  table.append(make("caption", title), make("thead"), make("tbody"));
  table.tHead.append(head);
  head.append(...headings.map((text) => make("th", text, { scope: "col" })));
  for (const row of rows) {
    const line = make("tr");
    line.append(...row.map((one) => { const entry = make("td"); entry.append(one); return entry; }));
    table.tBodies[0].append(line);
  }
  const box = make("div", undefined, { class: "scroll" });
  box.append(table);
  return box;
}
function threeTexts(found) {
  if (!found) return ["-", "-"];
  return [digits(found[0]), found.length === 3 ? `[${digits(found[1])}, ${digits(found[2])}]` : "-"];
}
const groupOf = (column) => `${column.cohort} ${column.group}`;
function openDetail(title) {
  detail.hidden = false;
  const back = make("a", "Back to the heat map", { href: "#heat-map" });
  detail.replaceChildren(make("h3", title), back);
  detail.focus({ preventScroll: true });
  detail.scrollIntoView();
}
async function showLabel(at, chosen) {
  const column = numbers.columns[at], charts = [];
  let curveOf = new Map();
  openDetail(fullTitle(column));
  const ranked = numbers.cells.map((_, cell) => cell).filter((cell) => valueAt(cell, at) !== null).sort((a, b) => valueAt(b, at) - valueAt(a, at));
  if (column.part) {
    const curves = await partOf(column.part), plots = make("div", undefined, { class: "plots" });
    detail.append(plots);
    const series = (kind) => curves.cells.map((cell, k) => ({ name: numbers.cells[cell].name, width: cell === chosen ? 3 : 1.2, y: curves[kind][k].map((value) => value / 1000) }));
    charts.push(await plot(plots, "ROC", ["1 - specificity", "sensitivity"], numbers.grid, series("roc")));
    charts.push(await plot(plots, "Precision and recall", ["recall", "precision"], numbers.grid, series("pr")));
    curveOf = new Map(curves.cells.map((cell, k) => [cell, k + 1]));
  } else detail.append(make("p", column.label ? "No cell has a curve: one class only." : "A mean has no curve; unfold its labels above the heat map."));
  if (column.label && window.openCases) {
    const button = make("button", "Cases with the largest errors of this label", { type: "button" });
    button.addEventListener("click", () => window.openCases(column, chosen ?? ranked[0]));
    detail.append(button);
  } else if (column.label) detail.append(make("p", "Cases are on a page that was written with --with-volumes.", { class: "small" }));
  const rows = ranked.map((cell) => {
    const link = make("a", numbers.cells[cell].name, { href: `#cell:${cell}` });
    const auroc = threeTexts(numbers.values.auroc[cell][at]), aupr = threeTexts(numbers.values.aupr[cell][at]);
    return [link, numbers.cells[cell].mix, ...auroc, ...aupr];
  });
  const table = tableOf(`Cells on ${fullTitle(column)}`, ["Cell", "Training data", "AUROC", "95 %", "AUPR", "95 %"], rows);
  // The mouse or the focus on a row of the table shows its curve, and dims the others.
  const show = (event) => {
    const cell = Number(event.target.closest("tbody tr")?.querySelector("a").hash.split(":")[1]);
    for (const chart of charts) chart.setSeries(curveOf.get(cell) ?? null, { focus: true });
  };
  for (const kind of ["mouseover", "focusin"]) table.addEventListener(kind, show);
  table.addEventListener("mouseleave", () => charts.forEach((chart) => chart.setSeries(null, { focus: true })));
  detail.append(table);
  makeSortable(table);
  detail.dataset.shown = `label:${at}`;
}
async function showCell(cell) {
  const facts = numbers.cells[cell];
  openDetail(`Cell ${facts.name}`);
  detail.append(make("p", `${facts.model}, text encoder ${facts.encoder || "-"}, trained on ${facts.mix}, seed ${facts.seed}`));
  const found = await partOf(facts.part), plots = make("div", undefined, { class: "plots" });
  detail.append(plots);
  const named = Object.entries(found.learning);
  if (named.length) {
    const steps = [...new Set(named.flatMap(([, [x]]) => x))].sort((a, b) => a - b);
    const series = named.map(([name, [x, y]]) => { const at = new Map(x.map((step, k) => [step, y[k]])); return { name, scale: name === "loss" && named.length > 1 ? "right" : undefined, dash: name === "loss" ? [4, 3] : undefined, y: steps.map((step) => at.get(step) ?? null) }; });
    await plot(plots, "Learning curves", ["step", named[0][0]], steps, series);
  } else plots.append(make("p", "No metric by step was recorded."));
  if (found.difference.keys) {
    const other = numbers.cells[found.difference.to];
    const rows = found.difference.keys;
    plots.after(tableOf(`Config: differences to the most similar cell, ${other.name}`, ["Key", other.name, "This cell"], rows.length ? rows : [["none", "-", "-"]]));
  }
  const rows = numbers.columns.map((column, at) => {
    const link = make("a", fullTitle(column), { href: `#label:${at}:${cell}` });
    const role = facts.trained.includes(column.cohort) ? "trained on it" : "zero-shot";
    const cases = column.label && window.openCases ? [make("button", "cases", { type: "button", "aria-label": `Cases of ${fullTitle(column)}` })] : [];
    cases[0]?.addEventListener("click", () => window.openCases(column, cell));
    return [link, role, String(column.n ?? "-"), ...threeTexts(numbers.values.auroc[cell][at]), ...threeTexts(numbers.values.aupr[cell][at]), ...(window.openCases ? [cases[0] ?? ""] : [])];
  });
  // Means first, then the labels of each group from the one that the cell misses most.
  const auroc = (at) => numbers.values.auroc[cell][at]?.[0] ?? Infinity, place = (at) => groupOf(numbers.columns[at]);
  const order = rows.map((_, at) => at).filter((at) => rows[at][3] !== "-")
    .sort((a, b) => Boolean(numbers.columns[a].label) - Boolean(numbers.columns[b].label) || place(a).localeCompare(place(b)) || auroc(a) - auroc(b));
  const headings = ["Column", "Cohort", "N", "AUROC", "95 %", "AUPR", "95 %", ...(window.openCases ? ["Errors"] : [])];
  const table = tableOf("Means, and the labels of each group from the lowest AUROC", headings, order.map((at) => rows[at]));
  const rest = make("div");
  rest.innerHTML = found.details;
  detail.append(table, make("h4", "Provenance, cost, config and log"), rest);
  makeSortable(detail);
  detail.dataset.shown = `cell:${cell}`;
}
function route() {
  const [kind, first, second] = location.hash.slice(1).split(":");
  const at = Number(first);
  if (!detail) return;
  if (kind === "label" && numbers.columns[at]) showLabel(at, second === undefined ? undefined : Number(second));
  if (kind === "cell" && numbers.cells[at]) showCell(at);
}
window.addEventListener("hashchange", route);
route();

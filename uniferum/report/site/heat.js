// The heat map: one table of all cells; the labels of a group are folded until they are asked for.
const numbers = JSON.parse(document.getElementById("numbers")?.textContent ?? "null");
const heat = document.getElementById("heat");
const shown = { metric: "auroc", base: "", open: new Set(), sort: null, up: false };
const titleOf = (column) => (column.label ? column.label.replaceAll("_", " ") : `${column.cohort} ${column.group} (mean)`);
const fullTitle = (column) => `${column.cohort} ${column.group}: ${column.label ? column.label.replaceAll("_", " ") : "mean"}`;
const digits = (value, signed) => (signed && value > 0 ? "+" : signed && value === 0 ? "±" : "") + (value / numbers.unit).toFixed(4);
function columnsShown() {
  return numbers.columns.map((column, at) => ({ column, at }))
    .filter(({ column }) => !column.label || shown.open.has(`${column.cohort} ${column.group}`));
}
function valueAt(cell, at) { return numbers.values[shown.metric][cell][at]?.[0] ?? null; }
function make(kind, text, attributes = {}) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
function sortedCells(columns) {
  const order = numbers.cells.map((_, at) => at);
  if (shown.sort === null) return order;
  const key = shown.sort === "name" ? (cell) => numbers.cells[cell].name : shown.sort === "mix" ? (cell) => numbers.cells[cell].mix : (cell) => valueAt(cell, shown.sort);
  const sign = shown.up ? 1 : -1;
  return order.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
}
function colour(place, value, low, high, base) {
  if (base === null) {
    place.style.setProperty("--p", high > low ? ((value - low) / (high - low)).toFixed(2) : "0");
    return;
  }
  const most = Math.max(high - base, base - low, 1);
  place.style.setProperty("--p", Math.min(Math.abs(value - base) / most, 1).toFixed(2));
  if (value < base) place.style.setProperty("--hue", "var(--down)");
}
function drawHeat() {
  const columns = columnsShown(), head = make("tr"), body = document.createDocumentFragment();
  const names = [["name", "Cell"], ["mix", "Training data"], ...columns.map(({ column, at }) => [at, titleOf(column)])];
  for (const [key, text] of names) {
    const heading = make("th", text, { scope: "col", tabindex: "-1" });
    heading.dataset.key = key;
    if (shown.sort === key) heading.setAttribute("aria-sort", shown.up ? "ascending" : "descending");
    head.append(heading);
  }
  const base = shown.base === "" ? null : Number(shown.base);
  const ranges = columns.map(({ at }) => {
    const values = numbers.cells.map((_, cell) => valueAt(cell, at)).filter((value) => value !== null);
    return [Math.min(...values), Math.max(...values)];
  });
  for (const cell of sortedCells(columns)) {
    const facts = numbers.cells[cell], row = make("tr"), name = make("th", undefined, { scope: "row", tabindex: "-1", title: facts.name });
    row.dataset.text = `${facts.name} ${facts.model} ${facts.encoder} ${facts.mix} seed ${facts.seed}`;
    name.append(make("a", facts.name, { href: `#cell:${cell}`, tabindex: "-1" }));
    row.append(name, make("th", facts.mix, { tabindex: "-1" }));
    columns.forEach(({ at }, place) => {
      const value = valueAt(cell, at), of = base === null ? null : valueAt(base, at), entry = make("td", "-", { tabindex: "-1" });
      if (value !== null && (base === null || of !== null)) {
        entry.textContent = of === null ? digits(value) : digits(value - of, true);
        colour(entry, value, ...ranges[place], of);
      }
      entry.dataset.cell = cell; entry.dataset.at = at;
      row.append(entry);
    });
    body.append(row);
  }
  heat.tHead.replaceChildren(head);
  heat.tBodies[0].replaceChildren(body);
  head.firstChild.tabIndex = 0;
  filterRows(heat);
}
function say(entry) {
  const { cell, at } = entry.dataset, place = document.getElementById("heat-said");
  if (at === undefined) { place.textContent = ""; return; }
  const found = numbers.values[shown.metric][cell][at], column = numbers.columns[at];
  const interval = found?.length === 3 ? ` [${digits(found[1])}, ${digits(found[2])}]` : "";
  const counts = column.n ? `, N = ${column.n}${column.positives == null ? "" : `, ${column.positives} positive`}` : "";
  place.textContent = `${numbers.cells[cell].name}, ${fullTitle(column)}: ${found ? digits(found[0]) + interval : "no number"}${counts}`;
}
function act(entry) {
  if (entry.dataset.key !== undefined) {
    const key = Number.isNaN(Number(entry.dataset.key)) ? entry.dataset.key : Number(entry.dataset.key);
    shown.up = shown.sort === key ? !shown.up : typeof key === "string";
    shown.sort = key;
    drawHeat();
    const again = heat.tHead.querySelector(`[data-key="${key}"]`);
    heat.tHead.rows[0].firstChild.tabIndex = -1; again.tabIndex = 0; again.focus();
  } else if (entry.dataset.at !== undefined) location.hash = `label:${entry.dataset.at}:${entry.dataset.cell}`;
  else if (entry.querySelector("a")) location.hash = entry.querySelector("a").getAttribute("href");
}
function moveTo(entry) {
  for (const other of heat.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  entry.tabIndex = 0; entry.focus();
}
if (heat) {
  const folds = document.getElementById("heat-folds"), base = document.getElementById("heat-base");
  for (const name of new Set(numbers.columns.filter((one) => one.label).map((one) => `${one.cohort} ${one.group}`))) {
    const button = make("button", `Labels of ${name}`, { type: "button", "aria-expanded": "false" });
    button.addEventListener("click", () => {
      if (!shown.open.delete(name)) shown.open.add(name);
      button.setAttribute("aria-expanded", shown.open.has(name));
      drawHeat();
    });
    folds.append(button, " ");
  }
  numbers.cells.forEach((cell, at) => base.append(make("option", cell.name, { value: at })));
  base.addEventListener("change", () => { shown.base = base.value; drawHeat(); });
  document.getElementById("heat-metric").addEventListener("change", (event) => { shown.metric = event.target.value; drawHeat(); });
  document.getElementById("heat-form").addEventListener("submit", (event) => event.preventDefault());
  heat.addEventListener("click", (event) => {
    const entry = event.target.closest("th, td");
    if (entry && !event.target.closest("a")) act(entry);
  });
  heat.addEventListener("focusin", (event) => { const entry = event.target.closest("th, td"); if (entry) say(entry); });
  heat.addEventListener("mouseover", (event) => { const entry = event.target.closest("td"); if (entry) say(entry); });
  heat.addEventListener("keydown", (event) => {
    const entry = event.target.closest("th, td");
    if (!entry) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(entry); return; }
    const rows = [...heat.rows].filter((row) => !row.hidden), row = rows.indexOf(entry.parentNode), at = entry.cellIndex;
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
    const end = event.key === "Home" ? 0 : event.key === "End" ? entry.parentNode.cells.length - 1 : at + right;
    const next = rows[row + down]?.cells[end];
    if (next && next !== entry) { event.preventDefault(); moveTo(next); }
  });
  drawHeat();
}

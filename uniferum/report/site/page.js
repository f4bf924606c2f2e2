"use strict";
// Sorting: Enter or a click on a heading; numbers by value, everything else by its letters; empty places last.
// Of each table one heading and one link are stops of the Tab key, and the arrow keys move to the others.
function keyOf(cell) {
  const text = cell.textContent.trim();
  const found = text.match(/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return { text, number: found ? Number(found[0]) : NaN };
}
function compare(a, b) {
  const blank = (x) => x.text === "" || x.text === "-" || x.text === "n/a";
  if (blank(a) !== blank(b)) return blank(a) ? Infinity : -Infinity;
  if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return a.number - b.number;
  return a.text.localeCompare(b.text);
}
function sortBy(heading) {
  const table = heading.closest("table");
  const at = [...heading.parentNode.children].indexOf(heading);
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: keyOf(row.cells[at]) }));
  rows.sort((a, b) => {
    const order = compare(a.key, b.key);
    return Number.isFinite(order) && !up ? -order : Math.sign(order);
  });
  table.tBodies[0].append(...rows.map((one) => one.row));
}
function makeSortable(within) {
  for (const row of within.querySelectorAll("table:not([role=grid]) thead tr")) {
    const headings = [...row.children];
    headings.forEach((heading, at) => {
      heading.tabIndex = at ? -1 : 0;
      heading.addEventListener("click", () => sortBy(heading));
      heading.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(heading); }
        const next = step && headings[at + step];
        if (!next) return;
        event.preventDefault();
        heading.tabIndex = -1; next.tabIndex = 0; next.focus();
      });
    });
  }
  makeSingleStop(within);
}
const stopsOf = (body) => [...body.querySelectorAll("a, button")].filter((one) => !one.closest("[hidden]"));
function makeSingleStop(within) {
  for (const body of within.querySelectorAll("table:not([role=grid]) tbody, ol")) {
    const found = stopsOf(body);
    if (found.length < 2) continue;
    found.forEach((one, at) => { one.tabIndex = at ? -1 : 0; });
    if (body.dataset.single) continue;  // it has been filled again
    body.dataset.single = "true";
    body.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], all = stopsOf(body);
      const next = step && all[all.indexOf(document.activeElement) + step];
      if (next) { event.preventDefault(); next.focus(); }
    });
    // What has the focus is the stop, also after sorting or a click.
    body.addEventListener("focusin", (event) => {
      for (const one of body.querySelectorAll("a, button")) one.tabIndex = one === event.target ? 0 : -1;
    });
  }
}
makeSortable(document);
// Filtering: every word must stand somewhere in the row. Texts of rows are kept, and read once.
const texts = new WeakMap();
function textOf(row) {
  if (!texts.has(row)) texts.set(row, (row.dataset.text ?? row.textContent).toLowerCase());
  return texts.get(row);
}
const words = () => document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
function filterRows(within) {
  const wanted = words();
  for (const row of within.querySelectorAll("tbody tr")) {
    const hide = wanted.some((word) => !textOf(row).includes(word));
    if (row.hidden !== hide) row.hidden = hide;
  }
  // A stop of the Tab key that is hidden moves to the first row that is shown.
  for (const body of within.querySelectorAll("tbody[data-single]")) {
    const all = stopsOf(body);
    if (all.length && !all.some((one) => one.tabIndex === 0)) all[0].tabIndex = 0;
  }
}
document.getElementById("filter").addEventListener("input", () => filterRows(document.querySelector("main")));
// Parts beside the page: scripts, because a browser reads no data from a folder.
const known = new Map();
function loadScript(source) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    Object.assign(script, { src: source, onload: done, onerror: () => failed(new Error(`${source} cannot be read`)) });
    document.body.append(script);
  }).finally(() => document.querySelector(`script[src="${source}"]`)?.remove());
}
window.showData = (name, content) => known.set(name, content);
window.showPart = window.showData;
async function partOf(name) {
  if (!known.has(name)) await loadScript(`parts/${name}.js`);
  return known.get(name);
}
async function openPart(details) {
  const place = details.querySelector(":scope > div");
  if (place.dataset.filled) return;
  place.dataset.filled = "true";
  place.textContent = "Reading ...";
  try {
    place.innerHTML = await partOf(details.dataset.part);
  } catch (error) {
    place.textContent = `${error.message}: copy the folder "parts" with the page.`;
    return;
  }
  makeSortable(place);
  filterRows(place);
}
for (const details of document.querySelectorAll("details.part"))
  details.addEventListener("toggle", () => { if (details.open) openPart(details); });
// A link of the navigation opens the part of its section.
for (const link of document.querySelectorAll("nav a"))
  link.addEventListener("click", () => {
    const details = document.querySelector(`${link.getAttribute("href")} > details.part`);
    if (details) details.open = true;
  });
document.body.dataset.ready = "true";

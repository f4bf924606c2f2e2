"use strict";
// Sorting: a click on a heading; numbers by value, everything else by its letters; empty places last.
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
for (const heading of document.querySelectorAll("th")) {
  heading.tabIndex = 0;
  const sort = () => {
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
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
// Filtering: every word must stand somewhere in the row.
document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("main tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});
document.body.dataset.ready = "true";

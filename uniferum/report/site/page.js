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
// Cases: a script file each, loaded when opened, so that the page stays small and works from a folder.
const viewer = document.getElementById("viewer");
window.showCase = (found) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const volume = bytes(found.volume), mask = found.mask ? bytes(found.mask) : null;
  const [nx, ny, nz] = found.shape;
  // Voxels are in RAS+ order; drawn as radiologists look: the patient's right on the left, front and head up.
  const planes = [
    { name: "axial", w: nx, h: ny, n: nz, at: (a, b, c) => (nx - 1 - a) + nx * ((ny - 1 - b) + ny * c) },
    { name: "coronal", w: nx, h: nz, n: ny, at: (a, b, c) => (nx - 1 - a) + nx * (c + ny * (nz - 1 - b)) },
    { name: "sagittal", w: ny, h: nz, n: nx, at: (a, b, c) => c + nx * ((ny - 1 - a) + ny * (nz - 1 - b)) },
  ];
  viewer.replaceChildren();
  for (const plane of planes) {
    const box = document.createElement("div"), canvas = document.createElement("canvas");
    const slider = document.createElement("input");
    canvas.width = plane.w; canvas.height = plane.h;
    canvas.style.height = `${(320 * plane.h * found.spacing[plane.name][1]) / (plane.w * found.spacing[plane.name][0])}px`;
    slider.type = "range"; slider.max = plane.n - 1; slider.value = Math.floor(plane.n / 2);
    slider.setAttribute("aria-label", `${plane.name} slice`);
    const draw = () => {
      const image = new ImageData(plane.w, plane.h);
      for (let b = 0; b < plane.h; b++) for (let a = 0; a < plane.w; a++) {
        const at = plane.at(a, b, Number(slider.value)), to = 4 * (a + plane.w * b), grey = volume[at];
        const id = mask && document.getElementById("mask").checked ? mask[at] : 0;
        const tint = id ? [(id * 67) % 256, (id * 131) % 256, (id * 197) % 256] : null;
        for (let k = 0; k < 3; k++) image.data[to + k] = tint ? 0.6 * grey + 0.4 * tint[k] : grey;
        image.data[to + 3] = 255;
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    };
    slider.addEventListener("input", draw);
    document.getElementById("mask").addEventListener("change", draw);
    box.append(plane.name === "sagittal" ? "sagittal (front on the left)" : `${plane.name} (right on the left)`, document.createElement("br"), canvas, document.createElement("br"), slider);
    viewer.append(box);
    draw();
  }
  document.getElementById("case-name").textContent = found.name;
};
for (const line of document.querySelectorAll("#cases li[data-file]")) {
  const open = () => {
    for (const other of document.querySelectorAll("#cases li")) other.removeAttribute("aria-current");
    line.setAttribute("aria-current", "true");
    for (const table of document.querySelectorAll("#cases table[data-case]")) table.hidden = table.dataset.case !== line.dataset.case;
    const script = document.createElement("script");
    script.src = line.dataset.file;
    script.onload = () => script.remove();
    document.body.append(script);
  };
  line.tabIndex = 0;
  line.addEventListener("click", open);
  line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
}
document.body.dataset.ready = "true";

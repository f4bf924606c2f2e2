// Cases: a script file each, loaded when opened, so that the page stays small and works from a folder.
// NiiVue draws them where there is WebGL2; canvases of our own do elsewhere.
const viewer = document.getElementById("viewer");
const shows = (name) => document.getElementById(name)?.checked ?? false;
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
// Hues a golden angle apart and three lightnesses in turn, so that neighbouring ids differ.
function colourOf(id) {
  const hue = (id * 137.508) % 360, light = [0.6, 0.45, 0.75][id % 3], most = 0.9 * Math.min(light, 1 - light);
  const part = (n) => { const k = (n + hue / 30) % 12; return Math.round(255 * (light - most * Math.max(-1, Math.min(k - 3, 9 - k, 1)))); };
  return [part(0), part(8), part(4)];
}
const hasWebGl = (() => {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
})();
// The model's mask is drawn as the outside of its regions, so that the stored mask is seen through it.
function outline(ids, [nx, ny, nz]) {
  const edge = new Uint8Array(ids.length), steps = [1, -1, nx, -nx, nx * ny, -nx * ny];
  for (let at = 0; at < ids.length; at++)
    if (ids[at] && steps.some((step) => ids[at + step] !== ids[at])) edge[at] = ids[at];
  return edge;
}
// A NIfTI-1 file in memory: 8-bit voxels, x fastest, with the affine of the store; intent 1002 marks ids of labels.
function nifti(voxels, found, intent, slope, intercept) {
  const file = new ArrayBuffer(352 + voxels.length), view = new DataView(file);
  view.setInt32(0, 348, true);
  [3, ...found.shape, 1, 1, 1, 1].forEach((n, at) => view.setInt16(40 + 2 * at, n, true));
  view.setInt16(68, intent, true); view.setInt16(70, 2, true); view.setInt16(72, 8, true);
  [1, ...found.size, 1, 1, 1, 1].forEach((mm, at) => view.setFloat32(76 + 4 * at, mm, true));
  view.setFloat32(108, 352, true); view.setFloat32(112, slope, true); view.setFloat32(116, intercept, true);
  view.setInt16(254, 1, true);
  found.affine.flat().slice(0, 12).forEach((value, at) => view.setFloat32(280 + 4 * at, value, true));
  [110, 43, 49, 0].forEach((letter, at) => view.setUint8(344 + at, letter));
  new Uint8Array(file, 352).set(voxels);
  return file;
}
function lookup(ids) {
  const known = [...new Set([0, ...new Set(ids)])].sort((a, b) => a - b);
  const colours = known.map((id) => (id ? colourOf(id) : [0, 0, 0]));
  const [R, G, B] = [0, 1, 2].map((k) => colours.map((colour) => colour[k]));
  return { R, G, B, A: known.map((id) => (id ? 255 : 0)), I: known, labels: known.map((id) => `id ${id}`) };
}
async function drawWithNiivue(found) {
  const { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } = window.niivue;
  if (!window.caseViewer) {
    const canvas = document.createElement("canvas");
    viewer.replaceChildren(Object.assign(document.createElement("div"), { className: "niivue" }));
    viewer.firstChild.append(canvas);
    const options = { logLevel: "silent", dragAndDropEnabled: false, backColor: [0, 0, 0, 1], crosshairWidth: 1, crosshairWidthUnit: "mm" };
    window.caseViewer = new Niivue({ ...options, isRadiologicalConvention: true, multiplanarShowRender: SHOW_RENDER.NEVER });
    await window.caseViewer.attachToCanvas(canvas, false);
    window.caseViewer.setSliceType(SLICE_TYPE.MULTIPLANAR);
  }
  const shown = window.caseViewer, [low, high] = found.window;
  const image = async (name, ...content) => NVImage.loadFromBase64({ base64: base64Of(nifti(...content)), name: `${name}.nii` });
  while (shown.volumes.length) shown.removeVolume(shown.volumes[shown.volumes.length - 1]);
  const volume = await image("volume", bytesOf(found.volume), found, 0, (high - low) / 255, low);
  volume.cal_min = low; volume.cal_max = high;
  shown.addVolume(volume);
  const layers = {};
  for (const name of ["mask", "model"]) {
    if (!found[name]) continue;
    const filled = bytesOf(found[name]), ids = name === "model" ? outline(filled, found.shape) : filled;
    const layer = await image(name, ids, found, 1002, 1, 0);
    layer.setColormapLabel(lookup(ids));
    shown.addVolume(layer);
    layers[name] = shown.volumes.length - 1;
  }
  const update = () => {
    for (const [name, at] of Object.entries(layers)) shown.setOpacity(at, shows(name) ? (name === "mask" ? 0.4 : 1) : 0);
  };
  viewer.redraw = update;
  update();
}
function base64Of(file) {
  let text = "";
  const bytes = new Uint8Array(file);
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}
function drawWithCanvases(found) {
  const volume = bytesOf(found.volume), masks = {};
  if (found.mask) masks.mask = bytesOf(found.mask);
  if (found.model) masks.model = outline(bytesOf(found.model), found.shape);
  const [nx, ny, nz] = found.shape, [sx, sy, sz] = found.size;
  // Voxels are in RAS+ order; drawn as radiologists look: the patient's right on the left, front and head up.
  const planes = [
    { name: "axial", w: nx, h: ny, n: nz, mm: sy / sx, at: (a, b, c) => (nx - 1 - a) + nx * ((ny - 1 - b) + ny * c) },
    { name: "coronal", w: nx, h: nz, n: ny, mm: sz / sx, at: (a, b, c) => (nx - 1 - a) + nx * (c + ny * (nz - 1 - b)) },
    { name: "sagittal", w: ny, h: nz, n: nx, mm: sz / sy, at: (a, b, c) => c + nx * ((ny - 1 - a) + ny * (nz - 1 - b)) },
  ];
  const draws = [];
  viewer.replaceChildren();
  for (const plane of planes) {
    const box = document.createElement("div"), canvas = document.createElement("canvas");
    const slider = document.createElement("input");
    canvas.width = plane.w; canvas.height = plane.h;
    canvas.style.height = `${(320 * plane.h * plane.mm) / plane.w}px`;
    slider.type = "range"; slider.max = plane.n - 1; slider.value = Math.floor(plane.n / 2);
    slider.setAttribute("aria-label", `${plane.name} slice`);
    const draw = () => {
      const image = new ImageData(plane.w, plane.h);
      for (let b = 0; b < plane.h; b++) for (let a = 0; a < plane.w; a++) {
        const at = plane.at(a, b, Number(slider.value)), to = 4 * (a + plane.w * b);
        let colour = [volume[at], volume[at], volume[at]];
        for (const [name, share] of [["mask", 0.4], ["model", 1]]) {
          const id = shows(name) && masks[name] ? masks[name][at] : 0;
          if (id) colour = colourOf(id).map((tint, k) => (1 - share) * colour[k] + share * tint);
        }
        image.data.set([...colour, 255], to);
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    };
    slider.addEventListener("input", draw);
    const side = plane.name === "sagittal" ? "front" : "right";
    box.append(`${plane.name} (${side} on the left)`, document.createElement("br"), canvas, document.createElement("br"), slider);
    viewer.append(box);
    draws.push(draw);
  }
  viewer.redraw = () => draws.forEach((draw) => draw());
  viewer.redraw();
}
function legend(found) {
  const list = document.getElementById("structures");
  list.replaceChildren();
  for (const one of found.structures) {
    const line = document.createElement("li"), patch = document.createElement("i");
    patch.style.background = `rgb(${colourOf(one.value)})`;
    line.append(patch, ` ${one.name}: Dice ${one.dice}`);
    list.append(line);
  }
}
// Cases drawn one after the other, also where a second is opened while the first is still being drawn.
let drawing = Promise.resolve();
window.showCase = (found) => {
  document.getElementById("case-name").textContent = found.name;
  legend(found);
  drawing = drawing.then(async () => {
    if (hasWebGl && window.niivue) await drawWithNiivue(found);
    else drawWithCanvases(found);
    viewer.dataset.shown = found.name;
  });
};
for (const name of ["mask", "model"]) document.getElementById(name)?.addEventListener("change", () => viewer.redraw?.());
// The list of cases: by the error of the chosen cells and labels.
const caseNumbers = JSON.parse(document.getElementById("case-numbers").textContent);
const choice = (name) => document.getElementById(`case-${name}`);
const labelText = ([cohort, group, label]) => `${cohort} ${group}: ${label.replaceAll("_", " ")}`;
function errorsOf(one) {
  const cell = choice("cell").value, label = choice("label").value, kind = choice("kind").value, found = [];
  for (const [at, [target, chances]] of Object.entries(one.labels)) {
    if ((label !== "" && at !== label) || (kind === "fn" && !target) || (kind === "fp" && target)) continue;
    const chosen = cell === "" ? chances.map((chance, k) => [k, chance]) : [[Number(cell), chances[cell]]];
    for (const [k, chance] of chosen) if (chance !== null) found.push({ at, k, target, chance: chance / 1000, error: Math.abs(target - chance / 1000) });
  }
  return found;
}
function rankCases() {
  const kind = choice("kind").value, list = document.querySelector("#cases ol");
  const ranked = caseNumbers.cases.map((one) => {
    const found = errorsOf(one);
    // Of one label the mean over cells; of all labels the mean, or where a kind is asked for the worst label.
    const mean = found.reduce((sum, x) => sum + x.error, 0) / found.length;
    const worst = kind !== "all" && choice("label").value === "" ? found.reduce((most, x) => Math.max(most, x.error), 0) : mean;
    return { one, error: worst, any: found.length > 0 };
  }).filter((x) => x.any).sort((a, b) => b.error - a.error);
  const of = choice("cell").value === "" ? "all cells" : `cell ${caseNumbers.cells[choice("cell").value]}`;
  const on = choice("label").value === "" ? "all known labels" : labelText(caseNumbers.labels[choice("label").value]);
  const what = { all: "mean |target - probability|", fn: "1 - probability where the label is positive", fp: "probability where the label is negative" }[kind];
  const how = kind !== "all" && choice("label").value === "" ? "largest" : "mean";
  choice("said").textContent = `Ranked by the ${kind === "all" ? what : `${how} ${what}`} of ${of} on ${on}: ${ranked.length} of the ${caseNumbers.cases.length} cases whose images are here, not of the whole test set.`;
  list.replaceChildren(...ranked.map(({ one, error }) => {
    const line = document.createElement("li"), flags = one.flags.length ? `, flags: ${one.flags.join(", ")}` : "";
    line.append(Object.assign(document.createElement("button"), { type: "button", textContent: `${one.name}, error ${error.toFixed(3)}${flags}` }));
    line.addEventListener("click", () => openCase(one, line));
    return line;
  }));
  makeSingleStop(document.getElementById("cases"));
}
function predictions(one) {
  const found = errorsOf(one).sort((a, b) => b.error - a.error).slice(0, 100);
  const rows = found.map((x) => [labelText(caseNumbers.labels[x.at]), caseNumbers.cells[x.k], String(x.target), x.chance.toFixed(3), x.error.toFixed(3)]);
  const table = tableOf("The 100 largest errors that are chosen", ["Label", "Cell", "Target", "Probability", "Error"], rows);
  choice("predictions").replaceChildren(table);
  makeSortable(table);
}
let openedCase = null;
async function openCase(one, line) {
  for (const other of document.querySelectorAll("#cases ol li")) other.removeAttribute("aria-current");
  line.setAttribute("aria-current", "true");
  openedCase = one;
  predictions(one);
  choice("flags").textContent = one.flags.length ? `Flags of the scan: ${one.flags.join(", ")}` : "The scan has no flags.";
  if (hasWebGl && !window.niivue) await loadScript("cases/niivue.js");
  await loadScript(one.file);
}
window.openCases = (column, cell) => {
  const label = caseNumbers.labels.findIndex((one) => one.join() === [column.cohort, column.group, column.label].join());
  choice("label").value = label < 0 ? "" : label;
  const at = cell === undefined ? -1 : caseNumbers.cells.indexOf(numbers.cells[cell].name);
  choice("cell").value = at < 0 ? "" : at;
  rankCases();
  document.getElementById("cases").scrollIntoView();
  choice("cell").focus({ preventScroll: true });
};
const option = (text, value) => Object.assign(document.createElement("option"), { textContent: text, value });
choice("cell").append(...caseNumbers.cells.map(option));
choice("label").append(...caseNumbers.labels.map((one, at) => option(labelText(one), at)));
for (const name of ["cell", "label", "kind"]) choice(name).addEventListener("change", () => { rankCases(); if (openedCase) predictions(openedCase); });
rankCases();

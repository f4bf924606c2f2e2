// Cases: a script file each, loaded when opened, so that the page stays small and works from a folder.
// NiiVue draws them where there is WebGL2; canvases of our own do elsewhere.
const viewer = document.getElementById("viewer");
const shows = (name) => document.getElementById(name)?.checked ?? false;
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const colourOf = (id) => [(id * 67) % 256, (id * 131) % 256, (id * 197) % 256];
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
function loadScript(source) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    Object.assign(script, { src: source, onload: done, onerror: () => failed(new Error(`${source} cannot be read`)) });
    document.body.append(script);
  }).finally(() => document.querySelector(`script[src="${source}"]`)?.remove());
}
for (const line of document.querySelectorAll("#cases li[data-file]")) {
  const open = async () => {
    for (const other of document.querySelectorAll("#cases li")) other.removeAttribute("aria-current");
    line.setAttribute("aria-current", "true");
    for (const table of document.querySelectorAll("#cases table[data-case]")) table.hidden = table.dataset.case !== line.dataset.case;
    if (hasWebGl && !window.niivue) await loadScript("cases/niivue.js");
    await loadScript(line.dataset.file);
  };
  line.tabIndex = 0;
  line.addEventListener("click", open);
  line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
}

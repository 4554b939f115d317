"use strict";
// The page of `labkit serve`. A small copy of the photograph, at screen size, is sent each time that something changes;
// the file itself only for the download.
const byId = (name) => document.getElementById(name);
const SCREEN = 1024;  // longer side, in pixels, of what is sent while hints are placed
let photos = [], current = null, limits = null, models = [], running = null, again = false;

function say(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. It may have been stopped.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error || "Something went wrong. Try again.");
  }
  return answer;
}

function wanted(more) {
  return { model: byId("model").value, style: byId("style").value, strength: Number(byId("strength").value), ...more };
}

const address = (options) => "api/colorize?options=" + encodeURIComponent(JSON.stringify(options));

async function begin() {
  const told = await (await request("api/models")).json();
  models = told.models;
  limits = told;
  for (const model of models) byId("model").add(new Option(model.name, model.name));
  showModel();
}

function showModel() {
  const model = models.find((each) => each.name === byId("model").value);
  const before = byId("style").value;
  byId("style").replaceChildren(...model.styles.map((style) => new Option(style, style)));
  if (model.styles.includes(before)) byId("style").value = before;
  byId("pick").hidden = !model.hints;
  byId("keys").textContent = model.hints
    ? "Click the photograph to place a color hint. With the keyboard: arrow keys move a cross, Enter places the hint."
    : "This model takes no color hints.";
  if (current && !model.hints) current.hints = [];
  showHints();
}

async function addFiles(files) {
  try { await ready; } catch { return; }  // what may be sent, and which models there are
  for (const file of files) {
    try {
      photos.push(await open(file));
      showList();
      if (photos.length === 1 || files.length === 1) show(photos[photos.length - 1]);
    } catch (error) {
      say(`${file.name}: ${error.message}`, true);
    }
  }
}

async function open(file) {
  if (file.size > limits.megabytes * 1e6) throw new Error(`The file is too large: at most ${limits.megabytes} MB can be sent.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error("The browser cannot show this file as a picture: choose JPEG, PNG or WebP.");
  }
  if (bitmap.width * bitmap.height > limits.megapixels * 1e6) {
    throw new Error(`The picture has too many pixels: at most ${limits.megapixels} megapixels can be colored.`);
  }
  const scale = Math.min(1, SCREEN / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";  // behind what is transparent, as the server lays it
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const small = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const luma = 0.299 * pixels.data[i] + 0.587 * pixels.data[i + 1] + 0.114 * pixels.data[i + 2];
    pixels.data[i] = pixels.data[i + 1] = pixels.data[i + 2] = luma;
  }
  context.putImageData(pixels, 0, 0);
  const gray = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  const photo = { file, small, width: canvas.width, height: canvas.height, fullWidth: bitmap.width,
    fullHeight: bitmap.height, gray: URL.createObjectURL(gray), colored: null, hints: [] };
  bitmap.close();
  return photo;
}

function showList() {
  byId("list").replaceChildren(...photos.map((photo) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = photo.file.name;
    button.setAttribute("aria-pressed", String(photo === current));
    button.addEventListener("click", () => show(photo));
    return button;
  }));
}

function show(photo) {
  current = photo;
  byId("work").hidden = false;
  byId("before").src = photo.gray;
  byId("after").src = photo.colored || photo.gray;
  byId("stage").setAttribute("aria-label", `Photograph ${photo.file.name}`);
  showList();
  showHints();
  colorize();
}

async function colorize() {
  if (running) { again = true; return; }  // one at a time: while one is under way, only the last change counts
  running = current;
  const started = performance.now();
  say("Coloring ...");
  try {
    const photo = running;
    const answer = await request(address(wanted({ hints: photo.hints })), { method: "POST", body: photo.small });
    const url = URL.createObjectURL(await answer.blob());
    if (photo.colored) URL.revokeObjectURL(photo.colored);
    photo.colored = url;
    if (photo === current) byId("after").src = url;
    say(`Colored in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  } catch (error) {
    say(error.message, true);
  }
  running = null;
  if (again) { again = false; colorize(); }
}

function addHint(x, y) {
  const model = models.find((each) => each.name === byId("model").value);
  if (!model.hints) { say("This model takes no color hints.", true); return; }
  current.hints.push({ x: Math.min(current.width - 1, Math.max(0, Math.round(x))),
    y: Math.min(current.height - 1, Math.max(0, Math.round(y))), color: byId("color").value });
  showHints();
  colorize();
}

function showHints() {
  const hints = current ? current.hints : [];
  byId("nohints").hidden = hints.length > 0;
  byId("clear").hidden = hints.length === 0;
  byId("marks").replaceChildren(...hints.map((hint) => {
    const mark = document.createElement("span");
    mark.style.setProperty("--color", hint.color);
    mark.style.left = `${(100 * (hint.x + 0.5)) / current.width}%`;
    mark.style.top = `${(100 * (hint.y + 0.5)) / current.height}%`;
    return mark;
  }));
  byId("hints").replaceChildren(...hints.map((hint, number) => {
    const item = document.createElement("li");
    const swatch = document.createElement("i");
    swatch.style.setProperty("--color", hint.color);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove hint ${number + 1}, ${hint.color} at ${hint.x}, ${hint.y}`);
    remove.addEventListener("click", () => { current.hints.splice(number, 1); showHints(); colorize(); });
    item.append(swatch, `${hint.color} at ${hint.x}, ${hint.y} `, remove);
    return item;
  }));
}

async function download() {
  const photo = current, format = byId("format").value;
  const scale = photo.fullWidth / photo.width;
  const hints = photo.hints.map((hint) => ({ ...hint, x: Math.min(photo.fullWidth - 1, (hint.x + 0.5) * scale),
    y: Math.min(photo.fullHeight - 1, (hint.y + 0.5) * scale) }));
  byId("download").disabled = true;
  say("Coloring at full size ...");
  try {
    const answer = await request(address(wanted({ hints, format, metadata: true })), { method: "POST", body: photo.file });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = photo.file.name.replace(/\.[^.]*$/, "") + ".colorized." + (format === "jpeg" ? "jpg" : format);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Downloaded ${link.download}, ${photo.fullWidth} by ${photo.fullHeight} pixels.`);
  } catch (error) {
    say(error.message, true);
  }
  byId("download").disabled = false;
}

// ------------------------------------------------------------------------------------------------ mouse and keyboard

let cross = null;  // where the keyboard's cross is, in pixels of the small copy

function place(event) {
  const box = byId("stage").getBoundingClientRect();
  addHint(((event.clientX - box.left) / box.width) * current.width, ((event.clientY - box.top) / box.height) * current.height);
}

function key(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key === "Enter" && cross) { event.preventDefault(); addHint(cross.x, cross.y); return; }
  if (event.key === "Escape") { cross = null; byId("cross").hidden = true; return; }
  if (!(event.key in steps)) return;
  event.preventDefault();
  const step = (event.shiftKey ? 0.1 : 0.02) * Math.min(current.width, current.height);
  cross = cross || { x: current.width / 2, y: current.height / 2 };
  cross.x = Math.min(current.width - 1, Math.max(0, cross.x + step * steps[event.key][0]));
  cross.y = Math.min(current.height - 1, Math.max(0, cross.y + step * steps[event.key][1]));
  byId("cross").hidden = false;
  byId("cross").style.left = `${(100 * cross.x) / current.width}%`;
  byId("cross").style.top = `${(100 * cross.y) / current.height}%`;
  say(`Cross at ${Math.round(cross.x)}, ${Math.round(cross.y)} of ${current.width} by ${current.height}. Enter places a hint.`);
}

byId("file").addEventListener("change", (event) => { addFiles([...event.target.files]); event.target.value = ""; });
for (const kind of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addFiles([...event.dataTransfer.files]);
  });
}
byId("stage").addEventListener("click", place);
byId("stage").addEventListener("keydown", key);
byId("divider").addEventListener("input", (event) => byId("stage").style.setProperty("--cut", `${event.target.value}%`));
byId("model").addEventListener("change", () => { showModel(); colorize(); });
for (const name of ["style", "strength"]) byId(name).addEventListener("change", colorize);
byId("clear").addEventListener("click", () => { current.hints = []; showHints(); colorize(); byId("stage").focus(); });
byId("download").addEventListener("click", download);
const ready = begin();
ready.catch((error) => say(error.message, true));

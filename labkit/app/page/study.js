"use strict";
// The study "Which one is real?": one trial after the other; what is shown is known to the server alone.
const byId = (name) => document.getElementById(name);
let key = null, state = null, shown = 0, open = false;
const WORDS = { pairs: ["left", "right"], single: ["real", "colored"] };

function say(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

async function post(path, value) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body: JSON.stringify(value) });
  } catch {
    throw new Error("The server does not answer. Your answers so far are kept.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error || "Something went wrong. Try again.");
  return told;
}

const load = (address) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => failed(new Error("A picture could not be loaded. Try again."));
  image.src = address;
});

async function show() {
  byId("progress").max = state.trials;
  byId("progress").value = state.done;
  if (state.done === state.trials) {
    byId("trial").hidden = true;
    byId("end").hidden = false;
    byId("answers").href = `api/study/${key}/answers.csv`;
    byId("question").textContent = "Done";
    say("All trials are done.");
    byId("question").focus();
    return;
  }
  const pairs = state.kind === "pairs";
  byId("question").textContent = pairs ? "Which one is real?" : "Real, or colored?";
  byId("keys").textContent = pairs
    ? "Keys: left arrow or 1, right arrow or 2." : "Keys: R or 1 for real, C or 2 for colored.";
  const images = await Promise.all([...Array(state.pictures).keys()].map((place) => load(`api/study/${key}/${state.done}/${place}.png`)));
  const words = WORDS[state.kind];
  const choices = words.map((word, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "choice";
    button.dataset.choice = word;
    if (pairs) {
      images[place].alt = `The ${word} picture`;
      button.classList.toggle("pixels", images[place].naturalWidth < 128);
      button.append(images[place]);
      button.setAttribute("aria-label", `The ${word} picture is real`);
    } else {
      button.textContent = word;
    }
    button.addEventListener("click", () => choose(word));
    return button;
  });
  if (!pairs) {
    images[0].alt = "The picture";
    const figure = document.createElement("div");
    figure.className = "choice" + (images[0].naturalWidth < 128 ? " pixels" : "");
    figure.append(images[0]);
    choices.unshift(figure);
  }
  byId("choices").replaceChildren(...choices);
  say(`Trial ${state.done + 1} of ${state.trials}.`);
  open = true;
  requestAnimationFrame(() => { shown = performance.now(); });  // the clock begins when the pictures are seen
}

async function choose(word) {
  if (!open) return;
  open = false;  // one answer a trial
  const seconds = (performance.now() - shown) / 1000;
  try {
    state = await post(`api/study/${key}/answer`, { trial: state.done, answer: word, seconds });
    await show();
  } catch (error) {
    say(error.message, true);
    open = true;
  }
}

document.addEventListener("keydown", (event) => {
  if (!open || event.altKey || event.ctrlKey || event.metaKey) return;
  const keys = state.kind === "pairs"
    ? { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right" }
    : { r: "real", R: "real", 1: "real", c: "colored", C: "colored", 2: "colored" };
  if (event.key in keys) { event.preventDefault(); choose(keys[event.key]); }
});

byId("start").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    state = await post("api/study/begin", { rater: byId("rater").value });
    key = state.key;
    byId("start").hidden = true;
    byId("trial").hidden = false;
    await show();
  } catch (error) {
    say(error.message, true);
  }
});

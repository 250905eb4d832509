"use strict";
// What both pages draw with. Text goes in as text, never as markup; styles are set one by one, as the policy asks.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const every = (selector, within = document) => [...within.querySelectorAll(selector)];

function make(name, attributes = {}, ...children) {
  const drawn = ["svg", "rect", "line", "circle", "text", "title"].includes(name);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Marks that keep a name's direction to itself.
const isolate = (text) => `\u2068${text}\u2069`;

const sign = (number) => (number > 0 ? "+" : number < 0 ? "−" : "");

function fixed(number, decimals, signed = true) {
  const text = Math.abs(number).toFixed(Math.max(decimals, 0));
  return (signed ? sign(number) : number < 0 ? "−" : "") + text;
}

// A number with three figures, however large.
function short(number, signed = true, figures = 3) {
  if (number === null || !isFinite(number)) return "?";
  const size = Math.abs(number);
  const text = size === 0 ? "0" : size >= 1000 ? String(Math.round(size)) : size >= 0.001 ? size.toPrecision(figures) : size.toExponential(1);
  return (signed ? sign(number) : number < 0 ? "−" : "") + text;
}

// Decimals that an error allows, `most` at most: two figures of it below 3.5, one above, as the Particle Data Group rounds.
function allow(half, most) {
  if (!(half > 0) || !isFinite(half)) return most;
  const place = Math.floor(Math.log10(half));
  return Math.min((half / 10 ** place < 3.5 ? 1 : 0) - place, most);
}

// Half an interval: never "0" for what is merely small, and nothing where the number is exact to its last digit.
function halfOf(half, decimals) {
  if (half === 0) return "";
  if (half === null || !isFinite(half)) return "± ?";
  const shown = fixed(half, decimals, false);
  return half > 0 && Number(shown) === 0 ? `± <${(10 ** -Math.max(decimals, 0)).toFixed(Math.max(decimals, 0))}` : `± ${shown}`;
}

// What all of these halves read as, "" where they don't read the same: said once then, and not with each number.
function readAlike(halves, decimals) {
  const texts = new Set(halves.map((half) => halfOf(half, allow(half, decimals))));
  return halves.length > 1 && texts.size === 1 ? [...texts][0].replaceAll(" ", "\u00a0") : "";
}

const count = (number) => number.toLocaleString("en");

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// Maps numbers to percent of a bar's width.
function scale(low, high) {
  const span = high - low || 1;
  return (number) => 2 + (96 * (number - low)) / span;
}

// A bar from one number to another with its interval: one row of a figure.
function drawBar(place, from, to, { low = null, high = null, kind = "", zero = null } = {}) {
  const svg = make("svg", { class: "bar", "aria-hidden": "true" });
  if (zero !== null) svg.append(make("line", { class: "zero", x1: place(zero) + "%", x2: place(zero) + "%", y1: 0, y2: "100%" }));
  const [left, right] = [place(from), place(to)].sort((a, b) => a - b);
  svg.append(make("rect", { class: kind, x: left + "%", width: Math.max(right - left, 0.3) + "%", y: "22%", height: "56%" }));
  if (low !== null) {
    svg.append(make("line", { class: "whisker", x1: place(low) + "%", x2: place(high) + "%", y1: "50%", y2: "50%" }));
    for (const end of [low, high]) svg.append(make("line", { class: "whisker", x1: place(end) + "%", x2: place(end) + "%", y1: "36%", y2: "64%" }));
  }
  return svg;
}

function drawRow(label, bar, number, { go = null, kind = "", about = "" } = {}) {
  const name = make("bdi", { class: "label", title: label }, label);
  const value = make("span", { class: "number" }, number);
  const row = make(go ? "button" : "div", { class: "row " + kind }, name, bar, value);
  if (about) row.append(make("span", { class: "hidden" }, about));
  if (go) {
    row.type = "button";
    row.addEventListener("click", go);
  }
  return row;
}

// One of a group is in the tab order; arrows move on.
function rove(elements, move, selected, enter = () => {}) {
  if (!elements.length) return;
  elements[0].tabIndex = 0;
  elements.forEach((element, place) => {
    element.addEventListener("focus", () => {
      for (const other of elements) other.tabIndex = -1;
      element.tabIndex = 0;
      selected(element);
    });
    element.addEventListener("click", () => {
      element.focus();
      enter(element);
    });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        enter(element);
        return;
      }
      const next = elements[move(place, event.key)];
      if (next && next !== element) {
        event.preventDefault();
        next.focus();
      }
    });
  });
}

// Moves of the arrow keys in rows of the same length.
const inGrid = (perRow) => (place, key) => {
  const column = place % perRow;
  if (key === "ArrowRight") return column < perRow - 1 ? place + 1 : place;
  if (key === "ArrowLeft") return column ? place - 1 : place;
  if (key === "Home") return place - column;
  if (key === "End") return place - column + perRow - 1;
  return { ArrowDown: place + perRow, ArrowUp: place - perRow }[key] ?? place;
};

// Frames around cells, above their neighbours, which would cover a cell's own outline.
function markCells(over, chosen) {
  for (const old of every(".mark", over)) old.remove();
  for (const cell of chosen) {
    const box = Object.fromEntries(["x", "y", "width", "height"].map((name) => [name, cell.getAttribute(name)]));
    over.append(make("rect", { class: "mark", ...box }));
  }
}

// Paper has no folds to open.
addEventListener("beforeprint", () => {
  for (const one of every("details")) one.open = true;
});

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

const sign = (number) => (number > 0 ? "+" : number < 0 ? "−" : "");
const plain = (number) => (number === null ? "?" : String(number).replace("-", "−"));

function fixed(number, decimals, signed = true) {
  const text = Math.abs(number).toFixed(Math.max(decimals, 0));
  return (signed ? sign(number) : number < 0 ? "−" : "") + text;
}

// A number with three figures, however large.
function short(number, signed = true) {
  if (number === null || !isFinite(number)) return "?";
  const text = Number(Math.abs(number).toPrecision(3)).toString();
  return (signed ? sign(number) : number < 0 ? "−" : "") + text;
}

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

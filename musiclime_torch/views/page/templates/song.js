
const cells = every("#heat rect[data-column]");
const words = every("#lyrics .w, #question .w");
const signs = new Map(every("#heat text[data-sign]").map((text) => [Number(text.dataset.sign), text]));
const players = every("audio[data-version]");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let shown = null; // the class on show, unpacked
let player = players[0] ?? null; // the one that is heard, or was last

// --- numbers ---

function unpack(one) {
  if (one.unpacked) return one;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const numbers = (text) => {
    const view = new DataView(bytes(text).buffer);
    return Array.from({ length: view.byteLength / 2 }, (_, place) => view.getInt16(2 * place, true));
  };
  const step = 10 ** -one.decimals;
  const bits = bytes(one.told);
  one.values = numbers(one.values).map((number) => number * step);
  one.halves = numbers(one.halves).map((number) => (number >= 32767 ? Infinity : number * step));
  one.told = one.values.map((_, column) => Boolean((bits[column >> 3] >> (column & 7)) & 1));
  one.ranked = one.values.map((_, column) => column).filter((column) => one.told[column]);
  one.ranked.sort((a, b) => Math.abs(one.values[b]) - Math.abs(one.values[a]));
  one.alike = readAlike(one.ranked.map((column) => one.halves[column]), one.decimals);
  one.reach = Math.abs(one.values[one.ranked[0]] ?? 0) || 1;
  one.unpacked = true;
  return one;
}

function withHalf(size, half, most = shown.decimals) {
  const decimals = allow(half, most);
  return `${fixed(size, decimals)} ${halfOf(half, decimals)}`.trim().replaceAll(" ", "\u00a0");
}
// A percentage beside a number that isn't one.
const beside = (chance) => (chance && data.space !== "probability" ? ` (${chance})` : "");
const say = (column) => withHalf(shown.values[column], shown.halves[column]);
// Beside others whose intervals are the same, which are said once.
const sayAmong = (column) => (shown.alike ? fixed(shown.values[column], allow(shown.halves[column], shown.decimals)) : say(column));

function describe(column) {
  const name = isolate(data.columns[column]);
  const reason = data.unseen[column];
  if (reason) return `${name}: the model can’t notice it (${reason}).`;
  if (!shown.told[column]) return `${name}: not significant (${say(column)}).`;
  const does = shown.values[column] > 0 ? "raises" : "lowers";
  const pairs = (shown.pairs ?? []).filter((pair) => pair[0] === column || pair[1] === column).slice(0, 2);
  const others = pairs.map((pair) => isolate(data.columns[pair[0] === column ? pair[1] : pair[0]]));
  const along = others.length ? ` It acts together with ${others.join(" and ")}.` : "";
  return `${name} ${does} the ${data.space} of ${isolate(shown.name)} by ${say(column)}.${along}`;
}

function paint(element, column) {
  const tiny = Math.abs(shown.values[column]) < shown.reach / 100;
  const kind = data.unseen[column] ? "unseen" : !shown.told[column] ? "untold" : tiny ? "tiny" : shown.values[column] > 0 ? "for" : "against";
  element.classList.remove("unseen", "untold", "tiny", "for", "against");
  element.classList.add(kind);
  element.style.setProperty("--strength", Math.min(Math.abs(shown.values[column]) / shown.reach, 1).toFixed(3));
  return kind;
}

// --- the figures of one class ---

function show(index) {
  shown = unpack(data.classes[index]);
  find("class").value = index;
  for (const cell of cells) {
    const column = Number(cell.dataset.column);
    const kind = paint(cell, column);
    signs.get(column).textContent = kind === "for" ? "+" : kind === "against" ? "−" : "";
    cell.setAttribute("aria-label", describe(column));
  }
  for (const word of words) {
    const column = Number(word.dataset.column);
    paint(word, column);
    word.setAttribute("aria-label", `${word.textContent}: ${data.unseen[column] ? "the model can’t notice it" : shown.told[column] ? say(column) : "not significant"}`);
  }
  find("legend-reach").textContent = `− ${short(shown.reach, false)} … + ${short(shown.reach, false)} ${data.space}`;
  select();
  // Until somebody picks one, the largest of each side is described.
  for (const [id, own] of [["cell-detail", (column) => column < data.cells], ["word-detail", (column) => column >= data.cells]]) {
    const largest = shown.ranked.find(own);
    if (find(id)) find(id).textContent = largest === undefined ? "" : describe(largest);
  }
  sum();
  sayWhose();
  drawWaterfall();
  drawPairs();
  drawOutputs();
  fillTable();
  find("fidelity").textContent = shown.fidelity === null ? "?" : `${Math.round(100 * shown.fidelity)}%`;
  find("error").textContent = short(shown.error, false, 2);
  find("error-of").textContent = `masks, on the scale of the ${data.space}`;
  find("counts").textContent = `${count(shown.ranked.length)} of ${count(data.columns.length)}`;
}

const SPACES = {
  logit: " (the model’s raw score: the higher, the more of this class)",
  "log-odds": " (how it would bet: 0 is even, above is for the class)",
  probability: " (between 0 and 1)",
};

function sum() {
  const verdict = find("verdict");
  const moved = shown.song - shown.empty;
  const strong = (text) => make("strong", {}, make("bdi", {}, text));
  verdict.replaceChildren(
    strong(shown.name), ` has the ${data.space} ${short(shown.song, false)}${beside(shown.chance)} on this song${SPACES[data.space] ?? ""} and ${short(shown.empty, false)}${beside(shown.chanceEmpty)} ${data.end}. `,
  );
  const top = shown.ranked.slice(0, 3).filter((column) => Math.abs(shown.values[column]) > shown.reach / 20);
  if (!top.length) {
    verdict.append(data.cells === data.columns.length ? "No single stem or moment is significant." : data.cells ? "No single stem, moment or word is significant." : "No single word is significant.");
    return;
  }
  verdict.append(`Of single parts, ${top.length > 1 ? "these move" : "this moves"} it most: `);
  top.forEach((column, place) => {
    const button = make("button", { type: "button", class: "inline" }, make("bdi", {}, data.columns[column]));
    button.addEventListener("click", () => go(column));
    verdict.append(place ? ", " : "", button, ` (${sayAmong(column)})`);
  });
  verdict.append(moved === 0 ? "." : `; each number${shown.alike ? ` (${shown.alike})` : ""} is what the part adds on average while the others are on or off.`);
}

// The sets to listen to were sought for one class: another one has its output on the song alone.
function sayWhose() {
  const own = data.classes[0];
  find("summary").textContent = shown.sentences;
  find("song-output").textContent = short(shown.song, false);
  find("song-unit").replaceChildren(`${data.space} of `, make("bdi", {}, shown.name), shown.chance && data.space !== "probability" ? `, ${shown.chance}` : "");
  const note = find("listen-note");
  note.hidden = shown === own || !data.sought;
  note.replaceChildren("These sets belong to ", make("bdi", {}, own.name), ", the class that was asked about. For ", make("bdi", {}, shown.name), " none were looked for.");
}

// As Explanation.sum_over has it.
function halfOfSum(columns) {
  const inside = new Set(columns);
  const half = (these) => Math.hypot(...these.map((column) => shown.halves[column]));
  const outside = shown.values.map((_, column) => column).filter((column) => !inside.has(column));
  return data.exact ? Math.min(half(columns), half(outside)) : half(columns);
}

function drawWaterfall() {
  const listed = shown.ranked.slice(0, 10);
  const total = shown.song - shown.empty - shown.remainder; // what all attributions add up to
  const steps = [];
  let here = shown.empty;
  const step = (label, size, more = {}) => {
    steps.push({ label, from: here, to: here + size, size, ...more });
    here += size;
  };
  for (const column of listed) step(data.columns[column], shown.values[column], { column, half: shown.halves[column] });
  const others = shown.ranked.slice(10);
  const sum = (columns) => columns.reduce((so, column) => so + shown.values[column], 0);
  if (others.length) step(`${count(others.length)} smaller ones`, sum(others), { kind: "rest", half: halfOfSum(others) });
  const ranked = new Set(shown.ranked);
  const whole = data.columns.map((_, column) => column);
  const unranked = whole.filter((column) => !ranked.has(column) && !(column in data.unseen));
  const left = total - sum(listed) - sum(others);
  if (unranked.length) step(`${count(unranked.length)} not significant`, left, { kind: "untold", half: halfOfSum(unranked) });
  if (!data.exact) step("what acts together", shown.remainder, { kind: "left", half: halfOfSum(whole) });
  const ends = steps.flatMap((one) => [one.from, one.to, ...(isFinite(one.half ?? NaN) ? [one.to - one.half, one.to + one.half] : [])]);
  const place = scale(Math.min(shown.empty, shown.song, ...ends), Math.max(shown.empty, shown.song, ...ends));
  const level = (label, at, chance) => {
    const bar = drawBar(place, at, at, { kind: "end" });
    bar.append(make("circle", { class: "full", cx: place(at) + "%", cy: "50%", r: 5 }));
    return drawRow(label, bar, short(at, false) + beside(chance), { kind: "ends" });
  };
  find("steps-how").textContent =
    `From the model’s ${data.space} ${data.end} to that of the song. Each bar is one part’s ${data.value}, the thin line its ${data.confidence} interval; for bars that sum many parts, as if their errors were independent. ` +
    (data.exact ? "Shapley values add up to the song exactly." : `${data.value}s don’t add up to the song: the dashed bar is what they leave, for parts that act together.`) +
    (shown.alike ? ` Every single part has ${shown.alike}.` : shown.ranked.some((column) => shown.halves[column] === 0) ? " A number without ± is exact to its last digit." : "");
  find("waterfall").replaceChildren(
    level(data.edited ? "everything changed" : "everything removed", shown.empty, shown.chanceEmpty),
    ...steps.map((one) => {
      const kind = one.kind ?? (one.size > 0 ? "for" : "against");
      const interval = isFinite(one.half ?? NaN) ? { low: one.to - one.half, high: one.to + one.half } : {};
      const number = one.column === undefined ? withHalf(one.size, one.half) : sayAmong(one.column);
      return drawRow(one.label, drawBar(place, one.from, one.to, { kind, ...interval }), number, { go: one.column === undefined ? null : () => go(one.column) });
    }),
    level("the song", shown.song, shown.chance),
  );
}

function drawPairs() {
  const pairs = shown.pairs;
  if (!find("together")) return;
  if (!pairs) {
    find("together-how").textContent = "Interactions of this class were left out; --interactions all, or interactions=\"all\", solves those of every class.";
    for (const name of ["parts", "pairs"]) find(name).replaceChildren();
    return;
  }
  // Values have four figures in the page.
  const decimalsOf = ([, , value]) => Math.min(3 - Math.floor(Math.log10(Math.abs(value) || 1)), 6);
  const alike = readAlike(pairs.map((pair) => pair[3]), Math.max(...pairs.map(decimalsOf)));
  find("together-how").textContent =
    `What two parts do together beyond what each does alone, in ${data.pairSpace}. ${count(shown.pairsTold)} of ${count(data.pairCount)} pairs are significant` +
    (shown.pairsTold > pairs.length ? `; the ${pairs.length} largest are shown. ` : ". ") + `All pairs explain ${(100 * shown.explained).toFixed(1)}% of the variance.` + (alike ? ` Every pair has ${alike}.` : "");
  drawParts();
  const reach = Math.max(...pairs.map((pair) => Math.abs(pair[2]) + pair[3]), 0) || 1;
  const place = scale(-reach, reach);
  find("pairs").replaceChildren(
    ...pairs.map((pair) => {
      const [one, other, value, half] = pair;
      const label = `${isolate(data.columns[one])} × ${isolate(data.columns[other])}`;
      const bar = drawBar(place, 0, value, { kind: value > 0 ? "for" : "against", low: value - half, high: value + half, zero: 0 });
      return drawRow(label, bar, alike ? fixed(value, allow(half, decimalsOf(pair))) : withHalf(value, half, decimalsOf(pair)), { kind: "pair", go: () => go(one, other) });
    }),
  );
}

function drawParts() {
  const parts = shown.parts ?? [];
  const held = find("parts");
  held.replaceChildren();
  if (!parts.length) return;
  const svg = make("svg", { class: "shares", role: "img", "aria-label": "Shares of the decision" });
  let here = 0;
  parts.forEach(([, share], place) => {
    const wide = 100 * Math.min(Math.max(share, 0), 1);
    svg.append(make("rect", { class: `part${place}`, x: here + "%", width: wide + "%", y: 0, height: "100%" }));
    here += wide;
  });
  const names = parts.map(([name, share, half], place) =>
    make("span", {}, make("i", { class: `key part${place}` }), `${name} ${withHalf(100 * Math.min(Math.max(share, 0), 1), 100 * half, 1).slice(share > 0 ? 1 : 0)}%`));
  held.append(svg, make("p", { class: "keys" }, ...names));
}

function drawOutputs() {
  const all = data.classes.slice(0, 14);
  const ends = all.flatMap((one) => [one.song, one.empty]);
  const place = scale(Math.min(...ends), Math.max(...ends));
  find("outputs").replaceChildren(
    ...all.map((one, index) => {
      const bar = drawBar(place, one.empty, one.song, { kind: "span" });
      bar.append(make("circle", { class: "hollow", cx: place(one.empty) + "%", cy: "50%", r: 4 }), make("circle", { class: "full", cx: place(one.song) + "%", cy: "50%", r: 5 }));
      const row = drawRow(one.name, bar, short(one.song, false) + beside(one.chance), { go: () => show(index), about: `, explain this class` });
      if (one === shown) row.setAttribute("aria-current", "true");
      return row;
    }),
  );
}

function fillTable() {
  const headings = ["component", `${data.value} (${data.space})`];
  find("table-how").hidden = !shown.alike;
  find("table-how").textContent = `Each number is ${shown.alike} (${data.confidence}).`;
  if (!shown.alike) headings.push(`± ${data.confidence}`);
  const head = make("tr", {}, ...headings.map((name) => make("th", { scope: "col" }, name)));
  const rows = shown.ranked.slice(0, 400).map((column) => {
    const [half, decimals] = [shown.halves[column], allow(shown.halves[column], shown.decimals)];
    const row = make("tr", {}, make("td", {}, make("bdi", {}, data.columns[column])), make("td", {}, fixed(shown.values[column], decimals)));
    if (!shown.alike) row.append(make("td", {}, halfOf(half, decimals).slice(2) || "exact"));
    return row;
  });
  find("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

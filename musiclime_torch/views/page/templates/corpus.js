
const options = (element, chosen) => {
  element.append(...data.classes.map((one, index) => make("option", { value: index }, `${isolate(one.name)} (${one.songs})`)));
  element.value = String(chosen);
};

// Decimals that an interval allows.
const allowed = (low, high) => allow((high - low) / 2, 6);

// Bars of (name, mean, low, high, songs) on one scale; what includes zero is grey.
function drawFeatures(held, features, place) {
  if (!features.length) {
    held.replaceChildren(make("p", { class: "small" }, "Nothing here is significant."));
    return;
  }
  held.replaceChildren(
    ...features.map(([name, mean, low, high, songs]) => {
      const kind = low < 0 && high > 0 ? "untold" : mean > 0 ? "for" : "against";
      const decimals = allowed(low, high);
      const row = drawRow(name, drawBar(place, 0, mean, { kind, low, high, zero: 0 }), fixed(mean, decimals));
      row.title = `${fixed(low, decimals)} to ${fixed(high, decimals)}, ${songs} songs`;
      row.append(make("span", { class: "under" }, `${fixed(low, decimals)} to ${fixed(high, decimals)} · ${songs} songs`));
      return row;
    }),
  );
}

function showClass(index) {
  const one = data.classes[index];
  const all = [...one.words, ...one.sounds];
  const ends = all.flatMap(([, , low, high]) => [low, high]);
  const place = scale(Math.min(0, ...ends), Math.max(0, ...ends));
  find("one-how").textContent = `Mean attribution over the songs given this class (${one.songs}), with 95% intervals over songs. ${one.untold} more words and cells have songs enough and are not significant.`;
  find("stems-block").hidden = !one.stems.length;
  const limits = one.stems.flatMap(([, , low, high]) => [low, high]);
  drawFeatures(find("class-stems"), one.stems, scale(Math.min(0, ...limits), Math.max(0, ...limits)));
  drawFeatures(find("class-words"), one.words, place);
  drawFeatures(find("class-sounds"), one.sounds, place);
  drawMap(one);
  find("pairs-block").hidden = !one.pairs.length;
  const most = scale(0, Math.max(...one.pairs.map((pair) => pair[2]), 1));
  find("class-pairs").replaceChildren(
    ...one.pairs.map(([stem, word, songs, mean, half]) => drawRow(`${stem} × ${word}`, drawBar(most, 0, songs, { kind: "rest" }), `${songs} songs, ${fixed(mean, allow(half, 6))} ${halfOf(half, allow(half, 6))}`, { kind: "pair" })),
  );
}

function drawMap(one) {
  find("map-block").hidden = !one.cells.length;
  if (!one.cells.length) return;
  const stems = [...new Set(one.cells.map(([stem]) => stem))];
  const wide = 1 + Math.max(...one.cells.map(([, position]) => position));
  const known = new Map(one.cells.map((cell) => [JSON.stringify(cell.slice(0, 2)), cell]));
  const reach = Math.max(...one.cells.map((cell) => (cell[6] ? Math.abs(cell[2]) : 0))) || 1;
  const height = 34;
  const svg = make("svg", { class: "heat", role: "grid", height: height * stems.length, "aria-label": "Mean attribution of each stem in each segment" });
  const rects = [];
  stems.forEach((stem, row) => {
    const group = document.createElementNS("http://www.w3.org/2000/svg", "g");
    group.setAttribute("role", "row");
    for (let position = 0; position < wide; position++) {
      const cell = known.get(JSON.stringify([stem, position]));
      const kind = !cell ? "none" : !cell[6] ? "untold" : cell[2] > 0 ? "for" : "against";
      const box = { x: (100 * position) / wide + "%", width: 100 / wide + "%", y: height * row, height };
      const rect = make("rect", { ...box, class: kind, role: "gridcell", tabindex: -1, "aria-label": describeCell(stem, position, cell) });
      rect.style.setProperty("--strength", cell ? Math.min(Math.abs(cell[2]) / reach, 1) : 0);
      group.append(rect);
      rects.push(rect);
    }
    svg.append(group);
  });
  const over = document.createElementNS("http://www.w3.org/2000/svg", "g");
  over.setAttribute("class", "over");
  over.setAttribute("aria-hidden", "true");
  rects.forEach((rect, at) => {
    const mark = rect.classList.contains("for") ? "+" : rect.classList.contains("against") ? "−" : "";
    over.append(make("text", { x: (100 * ((at % wide) + 0.5)) / wide + "%", y: height * Math.floor(at / wide) + height / 2 + 5 }, mark));
  });
  svg.append(over);
  const ticks = make("svg", { class: "ticks", height: 22, "aria-hidden": "true" });
  for (let position = 0; position < wide; position += Math.ceil(wide / 20)) ticks.append(make("text", { class: "middle", x: (100 * (position + 0.5)) / wide + "%", y: 15 }, String(position + 1)));
  find("map").style.setProperty("--segments", wide);
  find("map").replaceChildren(svg, ticks);
  find("map-names").replaceChildren(...stems.map((stem) => make("span", { class: "short-label", title: stem }, make("bdi", {}, stem))));
  find("map-detail").textContent = "";
  rove(rects, inGrid(wide), (rect) => {
    find("map-detail").textContent = rect.getAttribute("aria-label");
    markCells(over, [rect]);
  });
}

function describeCell(stem, position, cell) {
  const name = `${isolate(stem)}, segment ${position + 1}`;
  if (!cell) return `${name}: in no song`;
  const [, , mean, low, high, songs, told] = cell;
  if (low === null) return `${name}: in ${songs} songs, too few to rank`;
  const decimals = allowed(low, high);
  return `${name}: ${fixed(mean, decimals)} (${fixed(low, decimals)} to ${fixed(high, decimals)}) over ${songs} songs${told ? "" : ", not significant"}`;
}

function compare() {
  const [one, other] = ["first", "second"].map((id) => data.classes[Number(find(id).value)]);
  const points = data.compared
    .map((feature, at) => ({ ...feature, one: one.means[at], other: other.means[at] }))
    .filter((point) => point.one && point.other);
  const reach = 1.05 * Math.max(...points.flatMap((point) => [Math.abs(point.one[0]), Math.abs(point.other[0])]), 0) || 1;
  const at = (number) => 200 + (190 * number) / reach;
  const svg = find("scatter");
  svg.replaceChildren(
    make("rect", { class: "frame", x: 10, y: 10, width: 380, height: 380 }),
    make("line", { class: "axis-line", x1: 10, x2: 390, y1: 200, y2: 200 }),
    make("line", { class: "axis-line", x1: 200, x2: 200, y1: 10, y2: 390 }),
    make("line", { class: "zero", x1: 10, x2: 390, y1: 390, y2: 10 }),
    ...points.map((point) => {
      const [x, y] = [at(point.one[0]), 400 - at(point.other[0])];
      const kind = point.one[1] || point.other[1] ? (point.sound ? "sound" : "word") : "neither";
      const mark = point.sound ? make("rect", { class: kind, x: x - 4, y: y - 4, width: 8, height: 8 }) : make("circle", { class: kind, cx: x, cy: y, r: 4.5 });
      mark.append(make("title", {}, `${point.name}: ${short(point.one[0])} and ${short(point.other[0])}`));
      return mark;
    }),
  );
  find("axis").textContent = `Both axes reach from −${short(reach, false)} to +${short(reach, false)}. Across: ${one.name}; up: ${other.name}.`;
  const told = points.filter((point) => point.one[1] || point.other[1]);
  const gap = (point) => point.other[0] - point.one[0];
  told.sort((a, b) => Math.abs(gap(b)) - Math.abs(gap(a)));
  const place = scale(-reach, reach);
  find("apart").replaceChildren(
    make("h3", {}, "Furthest apart"),
    ...told.slice(0, 12).map((point) => {
      const bar = drawBar(place, point.one[0], point.other[0], { kind: "span", zero: 0 });
      bar.append(make("circle", { class: "hollow", cx: place(point.one[0]) + "%", cy: "50%", r: 4 }), make("circle", { class: "full", cx: place(point.other[0]) + "%", cy: "50%", r: 5 }));
      return drawRow(point.name, bar, `${short(point.one[0])} → ${short(point.other[0])}`);
    }),
    ...(told.length ? [] : [make("p", { class: "small" }, "No feature that both have is significant.")]),
  );
}

if (data.classes.length) {
  options(find("class"), 0);
  options(find("first"), 0);
  options(find("second"), Math.min(1, data.classes.length - 1));
  find("class").addEventListener("change", () => showClass(Number(find("class").value)));
  for (const id of ["first", "second"]) find(id).addEventListener("change", compare);
  showClass(0);
  find("against").hidden = data.classes.length < 2;
  compare();
}

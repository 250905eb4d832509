
// --- going to a component ---

const detailOf = (column) => find(column < data.cells ? "cell-detail" : "word-detail");

function select(...columns) {
  for (const word of words) word.classList.toggle("chosen", columns.includes(Number(word.dataset.column)));
  const over = document.querySelector("#heat .over");
  if (over) markCells(over, cells.filter((cell) => columns.includes(Number(cell.dataset.column))));
  for (const column of columns) {
    const detail = detailOf(column);
    if (detail) detail.textContent = describe(column);
  }
}

// Shows a component (or a pair of them) and plays from the first one's time.
function go(...columns) {
  select(...columns);
  const element = [...cells, ...words].find((one) => Number(one.dataset.column) === columns[0]);
  if (element) {
    element.scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
    play(element);
  }
}

function startOf(element) {
  if (element.tagName === "rect") return data.offset + (parseFloat(element.getAttribute("x")) / 100) * data.seconds;
  const start = element.dataset.start ?? element.closest("p")?.dataset.start;
  return start === undefined ? null : Number(start);
}

function play(element) {
  const start = startOf(element);
  if (start === null || !player) return;
  const seconds = start - data.offset;
  if (seconds < 0 || seconds >= data.seconds) return;
  player.currentTime = seconds;
  player.play().catch(() => {});
}

const perRow = every("#heat g[role=row]")[0]?.children.length ?? 1;
rove(cells, inGrid(perRow), (cell) => select(Number(cell.dataset.column)), play);

const lineOf = words.map((word) => word.parentElement);
rove(words, (place, key) => {
  if (key === "ArrowRight") return place + 1;
  if (key === "ArrowLeft") return place - 1;
  if (key === "ArrowDown") return lineOf.findIndex((line, at) => at > place && line !== lineOf[place]);
  if (key === "ArrowUp") {
    const before = lineOf.findLastIndex((line, at) => at < place && line !== lineOf[place]);
    return before < 0 ? place : lineOf.indexOf(lineOf[before]);
  }
  return place;
}, (word) => select(Number(word.dataset.column)), play);

// --- following what is played ---

const timedLines = every("#lyrics p[data-start]").map((line) => ({ line, start: Number(line.dataset.start) })).sort((a, b) => a.start - b.start);
const timedWords = words.filter((word) => word.dataset.start !== undefined).map((word) => ({ word, start: Number(word.dataset.start) })).sort((a, b) => a.start - b.start);
let sung = [];

const lastBefore = (list, time) => {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].start <= time) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
};

function follow() {
  const time = player.currentTime + data.offset;
  const head = find("playhead");
  head.hidden = false;
  head.style.left = `${(100 * player.currentTime) / data.seconds}%`;
  const line = lastBefore(timedLines, time)?.line;
  const word = lastBefore(timedWords, time)?.word;
  const now = [line, word && word.parentElement === line ? word : undefined].filter(Boolean);
  if (now.some((element, place) => element !== sung[place]) || now.length !== sung.length) {
    for (const element of sung) element.classList.remove("sung");
    for (const element of now) element.classList.add("sung");
    if (line && line !== sung[0]) keepInSight(line);
    sung = now;
    find("now-what").textContent = line ? line.textContent : "";
  }
  find("now-time").textContent = `${clock(time)} / ${clock(data.offset + data.seconds)}`;
}

// Scrolls the lyrics alone, never the page under somebody's eyes.
function keepInSight(line) {
  const box = find("lyrics");
  const top = line.offsetTop - box.offsetTop - box.clientHeight / 3;
  box.scrollTo({ top, behavior: still.matches ? "auto" : "smooth" });
}

let ticking = 0;
function tick() {
  follow();
  ticking = player.paused ? 0 : requestAnimationFrame(tick);
}

for (const one of players) {
  one.addEventListener("play", () => {
    player = one;
    for (const other of players) if (other !== one) other.pause();
    find("now").hidden = false;
    find("now-button").textContent = "Pause";
    if (!ticking) ticking = requestAnimationFrame(tick);
  });
  one.addEventListener("pause", () => {
    if (one === player) find("now-button").textContent = "Play";
  });
  one.addEventListener("seeked", () => {
    if (one === player) follow();
  });
}
find("now-button").addEventListener("click", () => (player.paused ? player.play().catch(() => {}) : player.pause()));
find("lanes").addEventListener("click", (event) => {
  if (event.target.closest(".wave") === null || !player) return;
  const box = find("lanes").getBoundingClientRect();
  player.currentTime = ((event.clientX - box.left) / box.width) * data.seconds;
  player.play().catch(() => {});
});
for (const button of every("[data-go]")) button.addEventListener("click", () => go(Number(button.dataset.go)));

find("lanes").style.setProperty("--segments", perRow);
find("class").append(...data.classes.map((one, index) => make("option", { value: index }, `${isolate(one.name)} (${short(one.song, false)}${one.chance && data.space !== "probability" ? `, ${one.chance}` : ""})`)));
find("class").addEventListener("change", (event) => show(Number(event.target.value)));
show(0);

// Measures a page as it is drawn: how far bars are apart, texts on each other, faint texts, width. Lengths are CSS pixels.
() => {
  const faults = { spread: 0, rows: 0, overlaps: [], faint: [], lowest: 99, outside: 0 };
  const say = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);

  // --- zero lines: within a section, bars have the same box and zeros the same x ---
  for (const section of document.querySelectorAll(".rows")) {
    const bars = [...section.querySelectorAll("svg.bar")].filter((bar) => bar.getClientRects().length);
    const zeros = bars.map((bar) => bar.querySelector("line.zero")).filter(Boolean);
    const edges = [bars.map((bar) => bar.getBoundingClientRect().left), bars.map((bar) => bar.getBoundingClientRect().right), zeros.map((zero) => zero.getBoundingClientRect().left)];
    for (const places of edges) if (places.length > 1) faults.spread = Math.max(faults.spread, Math.max(...places) - Math.min(...places));
    faults.rows += bars.length;
  }

  // --- boxes of all text that is seen ---
  const clips = (style) => [style.overflowX, style.overflowY].some((kind) => kind !== "visible");
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const owner = node.parentElement;
    if (!node.data.trim() || owner.closest("script, style, noscript, option, .hidden, .skip, title, [hidden]")) continue;
    if (!owner.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const drawn of range.getClientRects()) {
      let box = { left: drawn.left, right: drawn.right, top: drawn.top, bottom: drawn.bottom };
      let inner = false;
      for (let above = owner; above && above !== document.body; above = above.parentElement) {
        const style = getComputedStyle(above);
        if (style.position === "fixed") box = { left: 0, right: 0, top: 0, bottom: 0 };
        if (!clips(style) || above.tagName === "tbody") continue;
        const frame = above.getBoundingClientRect();
        box = { left: Math.max(box.left, frame.left), right: Math.min(box.right, frame.right), top: Math.max(box.top, frame.top), bottom: Math.min(box.bottom, frame.bottom) };
        inner = true;
      }
      // A font's box is higher than its letters: a sixth of it on each side holds no ink.
      const spare = (box.bottom - box.top) / 6;
      box.top += spare;
      box.bottom -= spare;
      if (box.right - box.left < 1 || box.bottom - box.top < 1) continue;
      boxes.push({ ...box, node, owner, inner });
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  for (let at = 0; at < boxes.length; at++) {
    const one = boxes[at];
    if (one.right > innerWidth + 1 || one.left < -1) faults.outside++;
    for (let next = at + 1; next < boxes.length && boxes[next].top < one.bottom; next++) {
      const other = boxes[next];
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (one.node !== other.node && wide > 1 && high > 1) faults.overlaps.push(`${say(one.node.data)} | ${say(other.node.data)}`);
    }
  }

  // --- contrast: WCAG 2's ratio of text and what lies under it ---
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const read = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [red, green, blue, alpha / 255]);
    }
    return known.get(colour);
  };
  const over = (top, under) => [...[0, 1, 2].map((part) => top[part] * top[3] + under[part] * (1 - top[3])), 1];
  const light = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const under = (element) => {
    const layers = [];
    for (let above = element; above; above = above.parentElement) layers.push(read(getComputedStyle(above).backgroundColor));
    return layers.reduceRight((ground, layer) => over(layer, ground), [255, 255, 255, 1]);
  };
  for (const { node, owner } of new Map(boxes.map((box) => [box.node, box])).values()) {
    const style = getComputedStyle(owner);
    const drawn = owner.namespaceURI.endsWith("svg");
    let ground = under(owner);
    // A drawn letter lies on its own rim, or on what is painted under its middle.
    if (drawn && style.paintOrder.startsWith("stroke") && parseFloat(style.strokeWidth) >= 3) ground = over(read(style.stroke), ground);
    else if (drawn) {
      const box = owner.getBoundingClientRect();
      const cell = [...document.querySelectorAll("svg rect")].findLast((rect) => {
        const frame = rect.getBoundingClientRect();
        const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
        return frame.left <= x && x <= frame.right && frame.top <= y && y <= frame.bottom;
      });
      if (cell && !/^(url|none)/.test(getComputedStyle(cell).fill)) ground = over(read(getComputedStyle(cell).fill), ground);
    }
    let ink = [...read(drawn ? style.fill : style.color)];
    for (let above = owner; above; above = above.parentElement) ink[3] *= Number(getComputedStyle(above).opacity);
    const [bright, dark] = [light(over(ink, ground)), light(ground)].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    faults.lowest = Math.min(faults.lowest, large ? ratio * 1.5 : ratio);
    if (ratio < (large ? 3 : 4.5)) faults.faint.push(`${ratio.toFixed(2)}: ${say(node.data)}`);
  }

  faults.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  faults.texts = boxes.length;
  return faults;
}

// What the browser tests ask of a page; each test runs this file and calls one of the functions.

const every = (selector, within = document) => [...within.querySelectorAll(selector)];

/** How far the page scrolls sideways, and what sticks out of it without being in a scrolled or clipped box. */
function overflow() {
  const width = document.documentElement.clientWidth;
  const clipped = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (style.overflowX !== "visible" || style.clipPath !== "none") return true;
    }
    return false;
  };
  const out = every("body *").filter(
    (element) =>
      !element.closest("svg") &&
      element.getClientRects().length &&
      element.getBoundingClientRect().right > width + 1 &&
      !clipped(element),
  );
  return [document.documentElement.scrollWidth - width, ...out.map((element) => element.outerHTML.slice(0, 120))];
}

/** How many elements with text were looked at, and those whose contrast (WCAG 2) is below 4.5. */
function contrast() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("#fff");
  };
  const texts = every("body *").filter(
    (element) =>
      !element.closest("script, style, .hidden, .skip, title") &&
      [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()),
  );
  const poor = {};
  for (const element of texts) {
    const style = getComputedStyle(element);
    const ink = light(rgba(element.closest("svg") ? style.fill : style.color));
    // Labels in the picture stand on the healthy band as well as on the card.
    const band = element.closest("#flow-plot") && light(rgba(getComputedStyle(document.querySelector(".band")).fill));
    for (const paper of [light(ground(element)), band].filter((each) => typeof each === "number")) {
      const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
      if (ratio < 4.5) poor[`${element.localName}.${element.getAttribute("class")}`] = [ratio, element.textContent.slice(0, 40)];
    }
  }
  return [texts.length, poor];
}

/** Names of all elements, and of those of their attributes that would be event handlers. */
function names() {
  const handlers = (element) => element.getAttributeNames().filter((name) => name.startsWith("on"));
  return every("*").flatMap((element) => [element.localName, ...handlers(element)]);
}

/** Names of the layers whose rows are shown, from top to bottom. */
function shownLayers() {
  return every("#layer-table tbody tr:not([hidden])").map((row) => row.cells[1].firstChild.textContent);
}

/** Pixels of each chart that are not empty. */
function inked() {
  return every("figure.chart canvas").map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
    return count;
  });
}

/** Where (x, y) of a chart lies, from the middle of its plot, in pixels. */
function spot(chart, x, y) {
  const plot = document.querySelector(`#${chart} .canvas`).chart;
  return [plot.valToPos(x, "x") - plot.over.clientWidth / 2, plot.valToPos(y, "y") - plot.over.clientHeight / 2].map(Math.round);
}

/** The element that has the focus, and whether it can be seen to have it. */
function focused() {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  return [element.id || element.className || element.localName, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1];
}

/** Take the clipboard away, and remember what the fallback copies. */
function withoutClipboard() {
  Object.defineProperty(navigator, "clipboard", { value: undefined });
  document.addEventListener("copy", () => {
    window.taken = getSelection().toString() || document.activeElement.value;
  });
}

// Elements and numbers. Text of a run only ever enters the page as text, never as HTML.

const COLOURS = ["#2563a8", "#c2571a", "#3a7d44", "#7a5195", "#b8860b", "#1f9aa8", "#b0305c", "#5b6470"];

function byId(id) {
  return document.getElementById(id);
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function figure(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1000 || size < 0.0005 ? value.toExponential(1) : value.toFixed(digits);
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
}

function oneLine(text, limit = 160) {
  const line = text.slice(0, 2 * limit).replace(/\s+/g, " ").trim();
  return line.length > limit ? line.slice(0, limit) + "…" : line;
}

function table(rows, head) {
  return element(
    "table", {},
    head ? element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", {}, cell)))) : null,
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))),
  );
}

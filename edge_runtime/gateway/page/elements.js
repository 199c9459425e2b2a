// Elements made from data. Text is only ever set as text: the names of machines, channels and bundles are whatever somebody
// out there sent.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);
export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// A name from outside, which may be written from right to left: it must not turn around what stands beside it.
export const named = (text) => make("bdi", {}, text);

// Several of them with commas; `most` at most.
export function listed(names, most = Infinity) {
  const parts = names.slice(0, most).flatMap((each, place) => (place ? [", ", named(each)] : [named(each)]));
  if (names.length > most) parts.push(` and ${names.length - most} more`);
  return make("span", {}, ...parts);
}

// Only what changed touches the document, so that a screen reader is not told the same every two seconds.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The children of `parent` in this order, moving as few as possible.
export function arrange(parent, elements) {
  elements.forEach((element, place) => {
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
  while (parent.children.length > elements.length) parent.lastElementChild.remove();
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function times(ratio) {
  if (ratio === null || !Number.isFinite(ratio)) return "–";
  return `${ratio >= 1000 ? "over 1000" : ratio >= 100 ? ratio.toFixed(0) : ratio.toFixed(ratio >= 10 ? 1 : 2)} ×`;
}

export function duration(seconds) {
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min`;
  if (total < 86400) return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
  return `${Math.floor(total / 86400)} d ${Math.floor((total % 86400) / 3600)} h`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export const shortTime = (seconds) => SHORT.format(new Date(seconds * 1000));
export const longTime = (seconds) => CLOCK.format(new Date(seconds * 1000));

// In the viewer's time zone, with the day unless it is within 12 hours of `now`; UTC when pointed at.
export function setTime(element, seconds, now) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return setText(element, "–");
  const utc = date.toISOString();
  if (element.getAttribute("datetime") !== utc) {
    element.setAttribute("datetime", utc);
    element.setAttribute("title", `${utc.slice(0, 19).replace("T", " ")} UTC`);
  }
  return setText(element, (Math.abs(now - seconds) < 43200 ? CLOCK : DAY).format(date));
}

export function timeElement(seconds, now) {
  const element = make("time");
  setTime(element, seconds, now);
  return element;
}

export function facts(list, rows) {
  // rows: [term, text or element, class or nothing]
  list.replaceChildren(
    ...rows
      .filter((row) => row[1] !== null && row[1] !== undefined)
      .map(([term, value, kind]) => make("div", { class: kind }, make("dt", {}, term), make("dd", {}, value))),
  );
}

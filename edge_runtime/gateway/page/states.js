// The states of a machine: a word, a colour and a shape each, so that none of them is told by colour alone.

import { draw } from "./elements.js";

// In order of urgency.
export const STATES = {
  alarm: { word: "Alarm", kind: "bad" },
  silent: { word: "Silent", kind: "warn" },
  sensor_fault: { word: "Sensor fault", kind: "warn" },
  out_of_range: { word: "Out of range", kind: "warn" },
  gap: { word: "Readings missing", kind: "warn" },
  never_seen: { word: "Never seen", kind: "calm" },
  warming_up: { word: "Warming up", kind: "calm" },
  off: { word: "Off", kind: "calm" },
  normal: { word: "Normal", kind: "good" },
};
const ORDER = Object.keys(STATES);

export const stateOf = (machine) => STATES[machine.state] ?? { word: machine.state, kind: "warn" };

const SHAPES = {
  bad: ["M8 1 15.5 14.5H.5Z", "M8 5.5v4.5M8 11.7v1.3"],
  warn: ["M8 .8 15.2 8 8 15.2.8 8Z", "M8 4.5v4.2M8 10.4v1.3"],
  calm: ["M2 2h12v12H2Z", "M5 8h6"],
  good: ["M8 .8a7.2 7.2 0 1 0 .01 0Z", "M4.6 8.3l2.4 2.4 4.4-5"],
};

export function shape(kind) {
  const [outline, mark] = SHAPES[kind];
  return draw(
    "svg",
    { class: `shape ${kind}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    draw("path", { class: "outline", d: outline }),
    draw("path", { class: "mark", d: mark }),
  );
}

const collator = new Intl.Collator(undefined, { numeric: true });

function rank(machine) {
  const place = ORDER.indexOf(machine.state);
  if (machine.state !== "alarm") return machine.alert !== null ? 0 : place < 0 ? 1 : place; // Silent, with an alarm before that.
  return machine.in_maintenance ? -0.2 : machine.is_acknowledged ? -0.5 : -1;
}

// The most urgent first: alarms nobody has seen yet, the newest of them on top; everything else by name.
export function byUrgency(one, other) {
  const difference = rank(one) - rank(other);
  if (difference !== 0) return difference;
  if (one.state === "alarm" && one.since !== other.since) return other.since - one.since;
  return collator.compare(one.name, other.name);
}

const HUES = { bad: "#d92d20", warn: "#dc8a00", calm: "#667085", good: "#16a34a" };

export function iconFor(kind) {
  const [outline, mark] = SHAPES[kind];
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="${HUES[kind]}" d="${outline}"/>` +
    `<path fill="none" stroke="#fff" stroke-width="1.8" d="${mark}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

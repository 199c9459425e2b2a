// The machines: a card each, the most urgent first, at most a page of them until somebody asks for more.

import { linkTo } from "./alerts.js";
import { bar, sparkline } from "./charts.js";
import { arrange, byId, duration, listed, make, named, number, setText } from "./elements.js";
import { series } from "./live.js";
import { STATES, byUrgency, shape, stateOf } from "./states.js";

const PAGE = window.innerWidth < 640 ? 20 : 48;
const FRESH_MS = 30_000; // A curve has a point every 30 s.

let most = PAGE;
let onlyState = null;
let newest = null;
const cards = new Map();
const waiting = new Set();
let isFetching = false;

class Card {
  constructor(machine) {
    this.name = machine.name;
    this.isInView = false;
    this.fetched = -Infinity;
    this.recent = null;
    this.word = make("span", { class: "word" });
    this.since = make("span", { class: "since" });
    this.symbol = make("span", { class: "symbol" });
    this.told = make("p", { class: "told" });
    this.bar = make("div", { class: "bar-place" });
    this.curve = make("div", { class: "spark-place" });
    this.badges = make("p", { class: "marks" });
    this.element = make(
      "li",
      { class: "card" },
      make("div", { class: "state" }, this.symbol, this.word, this.since),
      make("h3", {}, make("a", { href: linkTo(machine.name) }, named(machine.name))),
      this.told,
      this.bar,
      this.curve,
      this.badges,
    );
    this.element.dataset.key = machine.name;
  }

  show(machine, now) {
    const state = stateOf(machine);
    if (this.state !== machine.state) this.fetched = -Infinity; // What led to it is what somebody wants to see.
    this.state = machine.state;
    this.element.className = `card ${state.kind}`;
    if (this.kind !== state.kind) this.symbol.replaceChildren(shape((this.kind = state.kind)));
    setText(this.word, state.word);
    setText(this.since, `for ${duration(now - machine.since)}`);
    const score = `${machine.score}/${machine.threshold}`;
    if (this.score !== score) {
      this.score = score;
      if (this.isInView) this.drawCurve();
      this.bar.replaceChildren(bar(machine.score, machine.threshold));
      setText(this.told, machine.score === null ? "no score yet" : `score ${number(machine.score)}, threshold ${number(machine.threshold)}`);
    }
    const badges = [];
    const hasAlarm = machine.alert !== null && machine.state !== "alarm";
    if (hasAlarm) badges.push(["bad", "alarm not cleared"]);
    if (machine.fault_channels.length) badges.push(["warn", "at fault: ", listed(machine.fault_channels, 3)]);
    if (machine.is_acknowledged) badges.push(["calm", "acknowledged"]);
    if (machine.in_maintenance) badges.push(["calm", "in maintenance"]);
    const text = JSON.stringify([hasAlarm, machine.fault_channels, machine.is_acknowledged, machine.in_maintenance]);
    if (this.text !== text) {
      this.text = text;
      this.badges.replaceChildren(...badges.map(([kind, ...parts]) => make("span", { class: `mark ${kind}` }, ...parts)));
    }
    this.hasReadings = machine.last_reading !== null;
    this.refresh();
  }

  drawCurve() {
    this.curve.replaceChildren(...(this.recent ? [sparkline(series(this.name, this.recent))] : []));
  }

  refresh() {
    if (this.isInView && this.hasReadings && performance.now() - this.fetched > FRESH_MS) waiting.add(this);
    if (waiting.size) fetchCurves();
  }
}

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cards.get(entry.target.dataset.key);
    if (card) {
      card.isInView = entry.isIntersecting;
      card.refresh();
    }
  }
}, { rootMargin: "200px" });

export async function fetchRecent(name) {
  const response = await fetch(`/machines/${encodeURIComponent(name)}.json`, { signal: AbortSignal.timeout(8000) });
  return response.ok ? response.json() : null;
}

// One after the other: the board has better things to do.
async function fetchCurves() {
  if (isFetching) return;
  isFetching = true;
  try {
    for (const card of waiting) {
      waiting.delete(card);
      if (!card.isInView) continue;
      card.fetched = performance.now();
      const recent = await fetchRecent(card.name);
      card.recent = recent?.scores.some((each) => each !== null) ? recent : null;
      card.drawCurve();
    }
  } catch {
    waiting.clear(); // The gateway cannot be reached, which the page says already.
  } finally {
    isFetching = false;
  }
}

function isWanted(machine, words) {
  if (onlyState !== null && machine.state !== onlyState) return false;
  const text = `${machine.name} ${machine.bundle}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function countButton(state, count) {
  const { word, kind } = STATES[state] ?? { word: state, kind: "warn" };
  const button = make("button", { type: "button", class: `count ${kind}`, "aria-pressed": String(onlyState === state) });
  button.append(shape(kind), make("strong", {}, String(count)), ` ${word}`);
  button.dataset.state = state;
  return button;
}

function showCounts(machines) {
  const counts = new Map();
  for (const machine of machines) counts.set(machine.state, (counts.get(machine.state) ?? 0) + 1);
  if (onlyState !== null && !counts.has(onlyState)) counts.set(onlyState, 0);
  const order = [...Object.keys(STATES), ...counts.keys()];
  const shown = [...new Set(order)].filter((state) => counts.has(state));
  const text = JSON.stringify(shown.map((state) => [state, counts.get(state), onlyState]));
  const parent = byId("counts");
  if (parent.dataset.text === text) return;
  parent.dataset.text = text;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.state : null;
  parent.replaceChildren(...shown.map((state) => countButton(state, counts.get(state))));
  for (const button of parent.children) if (button.dataset.state === focused) button.focus();
  const alarms = counts.get("alarm") ?? 0;
  setText(byId("said"), alarms ? `${alarms} of ${machines.length} machines in alarm` : `No machine of ${machines.length} in alarm`);
}

export function showMachines(status) {
  newest = status;
  showCounts(status.machines);
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = status.machines.filter((machine) => isWanted(machine, words)).sort(byUrgency);
  const shown = wanted.slice(0, most);
  const elements = shown.map((machine) => {
    let card = cards.get(machine.name);
    if (!card) {
      card = new Card(machine);
      cards.set(machine.name, card);
      observer.observe(card.element);
    }
    card.show(machine, status.now);
    return card.element;
  });
  arrange(byId("cards"), elements);
  const kept = new Set(shown.map((machine) => machine.name));
  for (const [name, card] of cards) {
    if (kept.has(name)) continue;
    observer.unobserve(card.element);
    waiting.delete(card);
    cards.delete(name);
  }
  const none = byId("none");
  none.hidden = wanted.length > 0;
  setText(none, status.machines.length ? "No machine is called or is like that." : "No machine has been heard of yet.");
  const more = byId("more");
  more.hidden = wanted.length <= most;
  setText(more, `Show more (${wanted.length - shown.length} are not shown)`);
}

export function listen() {
  const again = () => newest && showMachines(newest);
  byId("filter").addEventListener("input", () => {
    most = PAGE;
    again();
  });
  byId("more").addEventListener("click", () => {
    most += 2 * PAGE;
    again();
  });
  byId("counts").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    onlyState = onlyState === button.dataset.state ? null : button.dataset.state;
    again();
  });
}

// Everything about one machine, in a dialog that has an address of its own: the browser's "back" closes it.

import { AlertList } from "./alerts.js";
import { chart, summary } from "./charts.js";
import { byId, duration, facts, listed, make, named, number, setText, timeElement, times } from "./elements.js";
import { series } from "./live.js";
import { fetchRecent } from "./machines.js";
import { shape, stateOf } from "./states.js";

const CURVE_EVERY_MS = 10_000;
const MACHINE = "#machine=";

let shown = null; // The machine's name.
let newest = null;
let recent = null;
let fetched = -Infinity;
let alerts = null;
let isClosedByAddress = false;

function asked() {
  if (!location.hash.startsWith(MACHINE)) return null;
  try {
    return decodeURIComponent(location.hash.slice(MACHINE.length));
  } catch {
    return null;
  }
}

function open(name) {
  shown = name;
  recent = null;
  fetched = -Infinity;
  byId("details-name").replaceChildren(named(name));
  const list = make("ul", { class: "alert-list" });
  alerts = new AlertList(list, false);
  byId("details-body").replaceChildren(
    make("p", { id: "details-state", class: "state" }),
    make("dl", { id: "details-facts" }),
    make("h3", {}, "Score in the last hour"),
    make("div", { id: "details-chart" }),
    make("p", { class: "legend" }, make("span", { class: "key line" }), "score", make("span", { class: "key limit" }), "threshold"),
    make("p", { id: "details-summary", class: "note" }),
    make("h3", {}, "Alerts"),
    list,
    make("p", { id: "details-no-alerts", class: "note" }, "None in the gateway's memory."),
  );
  if (!byId("details").open) byId("details").showModal();
  byId("details").scrollTop = 0;
}

function route() {
  const name = asked();
  if (name === null) {
    shown = null;
    if (byId("details").open) {
      isClosedByAddress = true;
      byId("details").close();
    }
  } else if (name !== shown) {
    open(name);
    if (newest) showDetails(newest);
  }
}

function drawChart() {
  const place = byId("details-chart");
  if (!place || !recent) return;
  place.replaceChildren(chart(series(shown, recent), Math.max(280, place.clientWidth), summary(recent)));
  setText(byId("details-summary"), summary(recent));
}

async function refreshCurve() {
  if (performance.now() - fetched < CURVE_EVERY_MS) {
    drawChart(); // The newest score is in the status.
    return;
  }
  fetched = performance.now();
  const name = shown;
  try {
    const found = await fetchRecent(name);
    if (name !== shown) return;
    recent = found;
    if (found) drawChart();
    else setText(byId("details-summary"), "Nothing has been scored yet.");
  } catch {
    fetched = -Infinity; // Not reachable: again with the next status.
  }
}

export function showDetails(status) {
  newest = status;
  if (shown === null) return;
  const machine = status.machines.find((each) => each.name === shown);
  if (!machine) {
    setText(byId("details-state"), "There is no machine of this name.");
    return;
  }
  const state = stateOf(machine);
  const bundle = status.bundles.find((each) => each.name === machine.bundle);
  const line = byId("details-state");
  line.className = `state ${state.kind}`;
  line.replaceChildren(shape(state.kind), make("span", { class: "word" }, state.word), make("span", { class: "since" }, `for ${duration(status.now - machine.since)}`));
  facts(byId("details-facts"), [
    ["Score", machine.score === null ? "none yet" : number(machine.score)],
    ["Threshold", number(machine.threshold)],
    ["Score is", machine.score === null ? null : `${times(machine.score / machine.threshold)} threshold`],
    ["Last reading", machine.last_reading === null ? "never" : make("span", {}, timeElement(machine.last_reading, status.now), ` (${duration(status.now - machine.last_reading)} ago)`)],
    ["Readings", machine.readings.toLocaleString()],
    ["Channels at fault", machine.fault_channels.length ? listed(machine.fault_channels) : null, "warn"],
    ["Work", machine.in_maintenance ? "in maintenance: alarms are recorded, not sent" : null],
    ["Alarm", machine.is_acknowledged ? "acknowledged" : null],
    ["Bundle", named(machine.bundle)],
    ["Engine", bundle ? `${bundle.engine}, ${bundle.variant}` : null],
  ]);
  const own = status.alerts.filter((alert) => alert.machine === shown);
  alerts.show(own, status);
  byId("details-no-alerts").hidden = own.length > 0;
  if (machine.last_reading !== null) refreshCurve();
  else setText(byId("details-summary"), "No reading has arrived yet.");
}

export function listen() {
  const dialog = byId("details");
  const leave = () => {
    // This event comes late: the address may be that of the next machine already.
    if (isClosedByAddress) {
      isClosedByAddress = false;
      return;
    }
    if (asked() !== null) history.replaceState(null, "", location.pathname);
    shown = null;
  };
  dialog.addEventListener("close", leave);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // Beside the dialog.
  });
  byId("close").addEventListener("click", () => dialog.close());
  window.addEventListener("hashchange", route);
  window.addEventListener("resize", drawChart);
  route();
}

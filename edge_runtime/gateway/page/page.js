// The status page: asks /status.json every two seconds and shows it. A page without news says so, and never looks healthy.

import { AlertList } from "./alerts.js";
import * as details from "./details.js";
import { byId, duration, facts, listed, make, named, setText, setTime, timeElement } from "./elements.js";
import { remember } from "./live.js";
import * as machines from "./machines.js";
import { iconFor, stateOf } from "./states.js";

const EVERY_MS = 2_000;
const HIDDEN_MS = 10_000; // Nobody looks, but the title and the icon still tell of alarms.
const PATIENCE_MS = 5_000; // After an answer is due, until the page says that there is none.
const STALLED_S = 10;

const opened = Date.now();
let lastSeen = null;
let newest = null;
let timer = null;
let pause = EVERY_MS;
let isAsking = false;
const alertList = new AlertList(byId("alert-list"), true);

function mb(value) {
  if (value === null) return null;
  return value >= 10_240 ? `${(value / 1024).toFixed(0)} GB` : value >= 1024 ? `${(value / 1024).toFixed(1)} GB` : `${value.toFixed(0)} MB`;
}

const part = (free, all) => (free === null ? null : `${mb(free)} of ${mb(all)}`);

function showDevice(device) {
  const power = device.throttled === null ? null : device.throttled.length ? device.throttled.join(", ") : "good";
  const isNow = device.throttled?.some((each) => each.endsWith("now"));
  facts(byId("device"), [
    ["Board", device.model],
    ["CPU", device.temperature_c === null ? null : `${device.temperature_c.toFixed(0)} °C`, device.temperature_c > 80 ? "bad" : null],
    ["Load", device.load === null ? null : `${device.load.toFixed(2)} on ${device.cores} core${device.cores === 1 ? "" : "s"}`, device.load > device.cores ? "warn" : null],
    ["Power", power, isNow ? "bad" : device.throttled?.length ? "warn" : null],
    ["Memory free", part(device.memory_available_mb, device.memory_mb), device.memory_available_mb < device.memory_mb * 0.05 ? "warn" : null],
    ["Gateway's memory", mb(device.process_mb)],
    ["Disk free", part(device.disk_free_mb, device.disk_mb), device.disk_free_mb < device.disk_mb * 0.05 ? "bad" : null],
    ["Up for", device.uptime_s === null ? null : duration(device.uptime_s)],
  ]);
}

function showMessages(status) {
  const counters = status.counters ?? {};
  const refused = Object.entries(counters.refused ?? {});
  const { limit, ...parts } = counters.storage_bytes ?? {};
  const stored = Object.values(parts).reduce((sum, size) => sum + size, 0) / 2 ** 20;
  facts(byId("messages"), [
    ["Broker", status.broker === null ? "none configured" : make("span", {}, named(status.broker), status.is_connected ? " connected" : " away"), status.broker !== null && !status.is_connected ? "bad" : null],
    ["Reconnected", status.broker === null ? null : String(status.reconnects)],
    ["Waiting to be read", String(status.inbox)],
    ["Waiting to be sent", status.broker === null ? null : String(status.outbox)],
    ["Received", counters.messages?.toLocaleString()],
    ["Dropped, too many at once", counters.dropped ? counters.dropped.toLocaleString() : null, "warn"],
    ["Refused", refused.length ? listed(refused.map(([reason, count]) => `${reason} ${count.toLocaleString()}`)) : null, "warn"],
    ["Lost unsent", counters.outbox_lost ? counters.outbox_lost.toLocaleString() : null, "bad"],
    ["On disk", stored > 0 ? `${mb(stored)}${limit ? ` of at most ${mb(limit / 2 ** 20)}` : ""}` : null],
  ]);
}

function showBundles(bundles) {
  const rows = bundles.map((bundle) =>
    make(
      "li",
      {},
      make("strong", {}, named(bundle.name)),
      make("span", { class: "note" }, `${bundle.machines} machine${bundle.machines === 1 ? "" : "s"} · `, named(`${bundle.family} · ${bundle.engine}, ${bundle.variant}`), " · ", make("code", { title: bundle.digest }, bundle.digest.slice(0, 12))),
      make("span", { class: "note" }, listed(bundle.channels, 12)),
    ),
  );
  const text = JSON.stringify(bundles);
  if (byId("bundles").dataset.text !== text) {
    byId("bundles").dataset.text = text;
    byId("bundles").replaceChildren(...rows);
  }
}

function showProblems(status) {
  const list = byId("problems");
  const problems = [...new Set([...(status.troubles ?? []), ...(status.problems ?? [])])];
  if (status.is_clock_set === false) problems.push("the board has not heard the time yet: times are wrong");
  const text = JSON.stringify(problems);
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.hidden = problems.length === 0;
  list.replaceChildren(...problems.map((each) => make("li", {}, named(each))));
}

function showBroker(status) {
  const pill = byId("broker");
  pill.hidden = status.broker === null;
  pill.className = `pill ${status.is_connected ? "good" : "bad"}`;
  setText(pill, status.is_connected ? "broker connected" : "broker away");
  pill.title = status.broker ?? "";
}

function show(status) {
  newest = status;
  showProblems(status);
  showDevice(status.device);
  if (status.name === undefined) return; // It is still starting.
  if (document.body.classList.contains("waiting")) document.body.classList.remove("waiting");
  setText(byId("name"), status.name);
  setTime(byId("clock"), status.now, status.now);
  showBroker(status);
  remember(status);
  machines.showMachines(status);
  alertList.show(status.alerts, status);
  byId("no-alerts").hidden = status.alerts.length > 0;
  showMessages(status);
  showBundles(status.bundles);
  details.showDetails(status);
  byId("about").replaceChildren(`anomalite ${status.version} · running for ${duration(status.now - status.started)}, since `, timeElement(status.started, status.now));
}

// Every second: how old is what is shown?
function showAge() {
  const quiet = Date.now() - (lastSeen ?? opened);
  const isDead = quiet > pause + PATIENCE_MS;
  const isStalled = !isDead && newest !== null && newest.age_s > STALLED_S;
  const pill = byId("contact");
  document.body.classList.toggle("old", isDead || isStalled);
  pill.className = `pill ${isDead || isStalled ? "bad" : lastSeen === null ? "" : "good"}`;
  setText(pill, isDead ? "no contact" : isStalled ? "standing still" : lastSeen === null ? "waiting" : "live");
  let text = "";
  if (isDead) text = lastSeen === null ? "The gateway does not answer." : `The gateway does not answer: last seen ${duration(quiet / 1000)} ago. What is shown below is old.`;
  else if (isStalled) text = "The gateway answers, but does not work: what is shown below is old.";
  setText(byId("dead"), text);
  setText(byId("details-dead"), text); // A dialog is in front of everything else.
  showTitle(isDead || isStalled);
}

function showTitle(isOld) {
  const name = newest?.name ?? "Gateway";
  const list = newest?.machines ?? [];
  const alarms = list.filter((machine) => machine.state === "alarm").length;
  const worst = ["bad", "warn", "good"].find((kind) => list.some((machine) => stateOf(machine).kind === kind)) ?? "calm";
  document.title = isOld ? `No contact – ${name}` : alarms ? `(${alarms}) Alarm – ${name}` : name;
  const icon = iconFor(isOld ? "calm" : worst);
  if (byId("icon").getAttribute("href") !== icon) byId("icon").setAttribute("href", icon);
}

async function ask() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  const started = performance.now();
  pause = EVERY_MS;
  try {
    const response = await fetch("/status.json", { signal: AbortSignal.timeout(8_000) });
    if (!response.ok) throw new TypeError(`status ${response.status}`);
    const status = await response.json();
    lastSeen = Date.now();
    if (newest?.version !== undefined && status.version !== undefined && status.version !== newest.version) location.reload();
    show(status);
    // With thousands of machines an answer costs the board something: take a tenth of its time at most.
    pause = Math.min(Math.max(document.hidden ? HIDDEN_MS : EVERY_MS, 10 * (performance.now() - started)), 30_000);
  } catch (fault) {
    if (!(fault instanceof TypeError || fault instanceof DOMException)) throw fault;
  } finally {
    isAsking = false;
    showAge();
    timer = setTimeout(ask, pause);
  }
}

machines.listen();
details.listen();
document.addEventListener("visibilitychange", () => document.hidden || ask());
window.addEventListener("online", ask);
setInterval(showAge, 1_000);
ask();

// Alerts, as a list for all machines and again in the details of one.

import { contributions, shareBar } from "./charts.js";
import { arrange, duration, make, named, number, timeElement, times } from "./elements.js";

export const linkTo = (machine) => `#machine=${encodeURIComponent(machine)}`;

const MOST = 4;

function marks(alert, hasBroker) {
  const found = [alert.cleared === null ? ["open", "bad"] : ["cleared", "calm"]];
  if (alert.is_acknowledged) found.push(["acknowledged", "calm"]);
  if (alert.in_maintenance) found.push([alert.is_sent ? "during maintenance" : "during maintenance, not sent", "calm"]);
  if (hasBroker && (alert.is_sent || !alert.in_maintenance)) found.push(alert.is_sent ? ["sent", "calm"] : ["waiting to be sent", "warn"]);
  return make("p", { class: "marks" }, ...found.map(([text, kind]) => make("span", { class: `mark ${kind}` }, text)));
}

function shares(alert) {
  const rows = contributions(alert.contributions, MOST).map(({ channel, share }) =>
    make("li", {}, make("span", { class: "channel", title: channel }, named(channel)), shareBar(share), make("span", { class: "percent" }, `${Math.round(share * 100)} %`)),
  );
  const left = alert.contributions.length - rows.length;
  if (left > 0) rows.push(make("li", { class: "note" }, `and ${left} more`));
  return make("ul", { class: "shares", "aria-label": "Share of each channel in the score" }, ...rows);
}

function element(alert, status, isNamed) {
  const severity = `${times(alert.score / alert.threshold)} threshold`;
  const ended = alert.cleared === null ? null : ` for ${duration(alert.cleared - alert.raised)}`;
  return make(
    "li",
    { class: `alert ${alert.cleared === null ? "is-open" : ""}` },
    make(
      "div",
      { class: "alert-head" },
      isNamed ? make("a", { class: "who", title: alert.machine, href: linkTo(alert.machine) }, named(alert.machine)) : null,
      make("span", { class: "severity" }, severity),
    ),
    make(
      "p",
      { class: "note" },
      timeElement(alert.raised, status.now),
      ended,
      ` · score ${number(alert.score)}, threshold ${number(alert.threshold)} · `,
      named(alert.bundle),
    ),
    shares(alert),
    marks(alert, status.broker !== null),
  );
}

// Keeps the elements of alerts that did not change, so that the focus stays where it is.
export class AlertList {
  constructor(parent, isNamed) {
    this.parent = parent;
    this.isNamed = isNamed;
    this.known = new Map();
  }

  show(alerts, status) {
    const kept = new Map();
    for (const alert of alerts) {
      const text = JSON.stringify([alert, status.broker]);
      const old = this.known.get(alert.id);
      kept.set(alert.id, old?.text === text ? old : { text, element: element(alert, status, this.isNamed) });
    }
    this.known = kept;
    arrange(this.parent, [...kept.values()].map((each) => each.element));
  }
}

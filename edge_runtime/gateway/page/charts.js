// Scores against the threshold: a bar and a small curve for a machine's card, and a chart with axes for its details.

import { draw, longTime, number, shortTime } from "./elements.js";

const FULL = 2; // Bars and small curves end at twice the threshold, which so is always half way.

const ratioOf = (score, threshold) => (score === null || !threshold ? null : score / threshold);

export function bar(score, threshold) {
  const ratio = ratioOf(score, threshold);
  const width = ratio === null ? 0 : Math.min(Math.max(ratio / FULL, 0), 1) * 200;
  const svg = draw("svg", { class: "bar-chart", viewBox: "0 0 200 12", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(
    draw("rect", { class: "track", x: 0, y: 2, width: 200, height: 8 }),
    draw("rect", { class: ratio > 1 ? "over" : "under", x: 0, y: 2, width, height: 8 }),
    draw("rect", { class: "limit", x: 99, y: 0, width: 2, height: 12 }),
  );
  return svg;
}

// Runs of points without a gap: [[[x, y], ...], ...].
function runs(points) {
  const found = [];
  let open = null;
  for (const point of points) {
    if (point === null) open = null;
    else if (open === null) found.push((open = [point]));
    else open.push(point);
  }
  return found;
}

const pathOf = (points) =>
  runs(points)
    .map((run) => {
      const at = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
      return `M${at.join("L")}${run.length === 1 ? "h.5" : ""}`;
    })
    .join("");

const column = (x, width, top, bottom) => `M${x.toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}h${width.toFixed(2)}V${bottom.toFixed(1)}z`;

// `curve` is what `series` of live.js makes.
export function sparkline(curve) {
  const [width, height] = [240, 40];
  const svg = draw("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const x = (time) => Math.max(0, ((time - curve.first) / (curve.last - curve.first)) * width);
  const y = (ratio) => height - (Math.min(ratio, FULL) / FULL) * (height - 2) - 1;
  const columns = curve.columns.map(({ from, until, score, limit }) => column(x(from), x(until) - x(from), y(score / limit), y(0)));
  const line = curve.points.map((point) => (point && point.limit ? [x(point.time), y(point.score / point.limit)] : null));
  svg.append(
    draw("path", { class: "over", d: columns.join("") }),
    draw("path", { class: "limit", d: `M0 ${height / 2}H${width}` }),
    draw("path", { class: "line", d: pathOf(line) }),
  );
  return svg;
}

function ticks(largest) {
  const rough = largest / 4;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * magnitude).find((each) => each >= rough);
  return Array.from({ length: Math.floor(largest / step + 1e-9) + 1 }, (_, place) => place * step);
}

// From the lowest power of ten below everything shown.
function powers(smallest, largest) {
  const [low, high] = [Math.floor(Math.log10(smallest)), Math.ceil(Math.log10(largest))];
  const stride = Math.max(1, Math.ceil((high - low) / 5));
  return Array.from({ length: Math.floor((high - low) / stride) + 1 }, (_, place) => 10 ** (low + place * stride));
}

// How a value becomes a height between 0 and 1. Linear, unless a score is so high that the threshold would lie on the floor.
function scaleFor(curve) {
  const shown = [...curve.points.filter((point) => point !== null), ...curve.columns];
  const scores = shown.map((point) => point.score);
  const limits = shown.map((point) => point.limit).filter((limit) => limit !== null && limit > 0);
  const largest = Math.max(...scores, ...limits, 1e-12);
  const limit = limits.length ? Math.max(...limits) : largest;
  if (largest < 8 * limit) {
    const top = largest * 1.1;
    return { at: (value) => Math.max(0, value) / top, ticks: ticks(top), isLog: false };
  }
  const smallest = Math.max(Math.min(limit, ...scores.filter((each) => each > 0)), limit / 1000);
  const marks = powers(smallest, largest);
  const [low, high] = [Math.log10(marks[0]), Math.log10(largest * 1.3)];
  return { at: (value) => Math.max(0, (Math.log10(Math.max(value, 1e-300)) - low) / (high - low)), ticks: marks.filter((each) => each <= largest * 1.3), isLog: true };
}

// The least that five marks are apart, and how their time is written.
function timeMarks(span, width) {
  const most = width < 480 ? 3 : 6;
  return [15, 30, 60, 120, 300, 600, 1200].find((step) => span / step <= most + 1) ?? 1200;
}

export function chart(curve, width, label) {
  const height = 260;
  const [left, right, top, bottom] = [52, 12, 12, 28];
  const scale = scaleFor(curve);
  const x = (time) => left + Math.max(0, (time - curve.first) / (curve.last - curve.first)) * (width - left - right);
  const y = (value) => height - bottom - scale.at(value) * (height - top - bottom);
  const svg = draw("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const value of scale.ticks) {
    svg.append(
      draw("path", { class: "grid", d: `M${left} ${y(value)}H${width - right}` }),
      draw("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, number(value)),
    );
  }
  const step = timeMarks(curve.last - curve.first, width);
  for (let time = Math.ceil(curve.first / step) * step; time < curve.last; time += step) {
    svg.append(draw("path", { class: "grid", d: `M${x(time)} ${top}V${height - bottom}` }));
    if (x(time) > width - 36) continue; // Its text would not fit.
    svg.append(draw("text", { class: "tick", x: x(time), y: height - 8, "text-anchor": "middle" }, step < 60 ? longTime(time) : shortTime(time)));
  }
  const columns = curve.columns.map(({ from, until, score, limit }) => column(x(from), x(until) - x(from), y(score), y(limit)));
  const path = (of) => pathOf(curve.points.map((point) => (point === null || point[of] === null ? null : [x(point.time), y(point[of])])));
  svg.append(
    draw("path", { class: "over", d: columns.join("") }),
    draw("path", { class: "limit", d: path("limit") }),
    draw("path", { class: "line", d: path("score") }),
    draw("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }),
  );
  if (scale.isLog) svg.append(draw("text", { class: "tick", x: left + 6, y: top + 10 }, "logarithmic"));
  return svg;
}

export function summary(recent) {
  const places = recent.scores.map((score, place) => place).filter((place) => recent.scores[place] !== null);
  if (!places.length) return "No scores in the last hour.";
  const highest = places.reduce((best, place) => (recent.scores[place] > recent.scores[best] ? place : best));
  const above = places.filter((place) => recent.scores[place] > recent.thresholds[place]).length;
  return (
    `Highest score of the last hour: ${number(recent.scores[highest])} at ${shortTime(recent.times[highest])}, ` +
    `with the threshold at ${number(recent.thresholds[highest])}. ` +
    (above ? `Above the threshold in ${above} of ${places.length} half minutes.` : "Never above the threshold.")
  );
}

// What each channel adds to the score, the largest first.
export function contributions(pairs, most) {
  const total = pairs.reduce((sum, [, value]) => sum + Math.max(value ?? 0, 0), 0) || 1;
  return pairs.slice(0, most).map(([channel, value]) => ({ channel, share: Math.max(value ?? 0, 0) / total }));
}

export function shareBar(share) {
  return draw(
    "svg",
    { class: "share", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { class: "track", width: 100, height: 8 }),
    draw("rect", { class: "part", width: (share * 100).toFixed(1), height: 8 }),
  );
}

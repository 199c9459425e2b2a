// What this page has seen itself since it was opened. The gateway keeps half minutes; this is finer, and costs the board nothing.

const MOST = 300;
const GAP_S = 90; // Two readings further apart are not joined by a line.
const seen = new Map();
let before = null;

// Take the newest status: a point for each machine that has had a reading since.
export function remember(status) {
  if (before !== null && Math.abs(status.now - before) > GAP_S) seen.clear(); // The gateway's clock was set, or the page slept.
  before = status.now;
  for (const machine of status.machines) {
    if (machine.score === null || machine.last_reading === null) continue;
    let points = seen.get(machine.name);
    if (!points) seen.set(machine.name, (points = []));
    if (points.length && machine.last_reading <= points.at(-1).time) continue;
    points.push({ time: machine.last_reading, score: machine.score, limit: machine.threshold });
    if (points.length > MOST) points.shift();
  }
}

const isAbove = ({ score, limit }) => score !== null && limit !== null && score > limit;

// A machine's scores as points in time: half minutes, and from where this page has looked on, what it saw. Null is a gap.
// `columns` are the times above the threshold; a half minute whose peak fell between two looks is one as a whole.
export function series(name, recent) {
  const own = seen.get(name) ?? [];
  const began = own.length ? own[0].time : Infinity;
  const points = [];
  const columns = [];
  recent.times.forEach((time, place) => {
    const point = { time: time + 15, score: recent.scores[place], limit: recent.thresholds[place] };
    const until = Math.min(time + 30, Math.max(began, own.at(-1)?.time ?? Infinity));
    const wasSeen = own.some((each) => each.time > time && each.time <= time + 30 && isAbove(each));
    if (isAbove(point) && !wasSeen) columns.push({ ...point, from: time, until });
    if (point.time < began) points.push(point.score === null ? null : point);
  });
  own.forEach((point, place) => {
    const isJoined = place > 0 && point.time - own[place - 1].time <= GAP_S;
    if (place > 0 && !isJoined) points.push(null);
    points.push(point);
    if (isAbove(point)) columns.push({ ...point, from: isJoined ? own[place - 1].time : point.time - 1, until: point.time });
  });
  const last = own.length ? Math.max(recent.times.at(-1), own.at(-1).time) : recent.times.at(-1) + 30;
  const oldest = points.find((point) => point !== null)?.time ?? last;
  // The whole hour, or since there are scores, but two minutes at least.
  return { points, columns, last, first: last - Math.min(Math.max(last - oldest + 15, 120), 3600) };
}

// Reads the compact chart and the bitmap of free seats: ops/docs/chart.md describes both.
//
//   const chart = readChart(await (await fetch(`/v1/events/${event}/charts/${version}`)).json());
//   const free = new FreeSeats();
//   const change = free.read(await (await fetch(`/v1/events/${event}/availability/bitmap`)).json());
//
// It needs nothing of a page, and keeps all seats in typed arrays.

export const FORMAT = 1;

// The chart with a place for each seat, from 0 in the order of the document: `seat` (its number, as in
// the bitmap and in `chart_seats` of a booking), `x`, `y` (in the plan's units), `category`, `row` (the
// place of its row in `rows`), `flags` (of ACCESSIBLE, COMPANION and RESTRICTED).
export const ACCESSIBLE = 1;
export const COMPANION = 2;
export const RESTRICTED = 4;

export function readChart(document) {
  if (document.format !== FORMAT) {
    throw new Error(`The chart has format ${document.format}, and not ${FORMAT}.`);
  }
  const count = document.seats;
  const chart = {
    planVersionId: document.plan_version_id,
    categories: document.categories,
    count,
    lastSeat: document.last_seat,
    seat: new Uint32Array(count),
    x: new Float64Array(count),
    y: new Float64Array(count),
    category: fillRuns(new Uint16Array(count), document.category),
    row: new Uint32Array(count),
    flags: new Uint8Array(count),
    rows: readRows(document),
    places: new Int32Array(document.last_seat + 1).fill(-1),
  };
  chart.rows.forEach((row, n) => {
    for (let i = 0; i < row.length; i++) {
      chart.seat[row.start + i] = row.first + i;
      chart.row[row.start + i] = n;
      chart.places[row.first + i] = row.start + i;
    }
    drawRow(chart.x, row, row.curveX, row.steps && row.steps[0], document.unit);
    drawRow(chart.y, row, row.curveY, row.steps && row.steps[1], document.unit);
  });
  flag(chart, document.accessible, ACCESSIBLE);
  flag(chart, document.companion, COMPANION);
  flag(chart, document.restricted, RESTRICTED);
  return chart;
}

// The place of a seat by its number; -1: the plan has no such seat.
export function placeOf(chart, seat) {
  return seat < chart.places.length ? chart.places[seat] : -1;
}

// How a seat is called: { zone, row, label, number, area, standing }. label: how the row is printed.
export function nameOf(chart, place) {
  const row = chart.rows[chart.row[place]];
  const i = place - row.start;
  return {
    zone: row.zone,
    row: row.name,
    label: row.label,
    number: row.numbers ? row.numbers[i] : row.number === null ? "" : String(row.number + i * row.numberStep),
    area: row.area,
    standing: row.standing,
  };
}

// Which seats are free now. `read` takes an answer of /availability/bitmap and returns what it changed:
// { whole } (all may have changed), or { freed, taken }, the numbers of seats. Ask again with
// `?after=${cursor}`. If an answer does not fit what is known, `read` throws: then ask without `after`.
export class FreeSeats {
  constructor() {
    this.planVersionId = null;
    this.cursor = null;
    this.count = 0;
    this.bits = new Uint8Array(0);
  }

  isFree(seat) {
    return ((this.bits[seat >> 3] ?? 0) >> (seat & 7) & 1) === 1;
  }

  read(document) {
    const whole = document.bitmap !== null;
    const bits = whole ? decode(document.bitmap) : this.change(document);
    if (countBits(bits) !== document.free) {
      throw new Error("The changes do not fit what is known.");
    }
    this.bits = bits;
    this.planVersionId = document.plan_version_id;
    this.cursor = document.cursor;
    this.count = document.free;
    return whole ? { whole } : { whole, freed: document.freed, taken: document.taken };
  }

  change(document) {
    if (document.after !== this.cursor || document.plan_version_id !== this.planVersionId) {
      throw new Error("The changes begin at another cursor.");
    }
    const bits = this.bits.slice();
    for (const seat of document.freed) bits[seat >> 3] |= 1 << (seat & 7);
    for (const seat of document.taken) bits[seat >> 3] &= ~(1 << (seat & 7));
    return bits;
  }
}

function readRows(document) {
  const from = document.rows;
  const count = from.length.length;
  const sums = {};
  for (const name of ["first", "x", "span_x", "bow_x", "y", "span_y", "bow_y"]) {
    sums[name] = sum(from[name]);
  }
  const area = fillRuns(new Uint16Array(count), from.area);
  const standing = fillRuns(new Uint8Array(count), from.standing);
  const zones = document.zones.flatMap((zone) => new Array(zone.rows).fill(zone.name));
  const rows = [];
  let start = 0;
  for (let n = 0; n < count; n++) {
    rows.push({
      start,
      length: from.length[n],
      first: sums.first[n],
      zone: zones[n],
      name: from.name[n],
      label: from.label[n],
      area: area[n],
      standing: standing[n] === 1,
      number: from.number[n],
      numberStep: from.number_step[n],
      numbers: from.numbers[n] ?? null,
      curveX: [sums.x[n], sums.span_x[n], sums.bow_x[n]],
      curveY: [sums.y[n], sums.span_y[n], sums.bow_y[n]],
      steps: from.steps[n] ?? null,
    });
    start += from.length[n];
  }
  return rows;
}

function drawRow(into, row, curve, steps, unit) {
  const [start, span, bow] = curve;
  const last = row.length - 1;
  let at = start;
  for (let i = 0; i <= last; i++) {
    if (steps) {
      at += i > 0 ? steps[i - 1] : 0;
    } else if (last > 0) {
      const whole = last * last;
      const off = 2 * (span * i * last + bow * i * (last - i)) + whole;
      at = start + Math.floor(off / (2 * whole));
    }
    into[row.start + i] = at * unit;
  }
}

function flag(chart, deltas, bit) {
  for (const seat of sum(deltas)) {
    chart.flags[chart.places[seat]] |= bit;
  }
}

function sum(deltas) {
  let total = 0;
  return deltas.map((delta) => (total += delta));
}

function fillRuns(into, runs) {
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    into.fill(runs[i], at, (at += runs[i + 1]));
  }
  return into;
}

function decode(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function countBits(bytes) {
  let count = 0;
  for (let byte of bytes) {
    for (; byte; byte &= byte - 1) count++;
  }
  return count;
}

// Run by tests/catalogue/test_chart_reader.py, or: node --test tests/js/
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ACCESSIBLE, COMPANION, FreeSeats, RESTRICTED, nameOf, placeOf, readChart,
} from "../../web/pages/static/chart.js";

// Two rows of three seats, and one of standing places.
const HALL = {
  format: 1, plan_version_id: 7, seats: 8, last_seat: 11, unit: 0.5,
  categories: [{ category: 1, name: "Best", color: "#f00" }, { category: 2, name: "Rest", color: "" }],
  zones: [{ name: "Stalls", rows: 2 }, { name: "Floor", rows: 1 }],
  rows: {
    name: ["A", "B", ""], label: ["", "Table B", ""], area: [1, 3], standing: [0, 2, 1, 1],
    length: [3, 3, 2], first: [1, 4, 5],
    number: [1, null, null], number_step: [2, null, null], numbers: { 1: ["7", "7bis", "8"] },
    x: [0, 0, 10], span_x: [40, 0, -40], bow_x: [0, 0, 0],
    y: [0, 40, 0], span_y: [0, 0, 0], bow_y: [16, -16, 0],
    steps: { 2: [[3], [-4]] },
  },
  category: [1, 3, 2, 5], accessible: [3], companion: [2], restricted: [5, 1],
};

test("seats have their places, numbers, categories and flags", () => {
  const chart = readChart(HALL);
  assert.deepEqual([...chart.seat], [1, 2, 3, 5, 6, 7, 10, 11]);
  assert.deepEqual([...chart.category], [1, 1, 1, 2, 2, 2, 2, 2]);
  assert.deepEqual([...chart.x], [0, 10, 20, 0, 10, 20, 5, 6.5]);
  assert.deepEqual([...chart.y], [0, 2, 0, 20, 20, 20, 20, 18]);
  assert.deepEqual([...chart.flags], [0, COMPANION, ACCESSIBLE, RESTRICTED, RESTRICTED, 0, 0, 0]);
  assert.equal(placeOf(chart, 6), 4);
  assert.equal(placeOf(chart, 4), -1);
  assert.equal(placeOf(chart, 99), -1);
});

test("seats are called as they are printed", () => {
  const chart = readChart(HALL);
  assert.deepEqual([0, 1, 2].map((place) => nameOf(chart, place).number), ["1", "3", "5"]);
  assert.deepEqual(nameOf(chart, 4), {
    zone: "Stalls", row: "B", label: "Table B", number: "7bis", area: 1, standing: false,
  });
  assert.deepEqual(nameOf(chart, 7), {
    zone: "Floor", row: "", label: "", number: "", area: 1, standing: true,
  });
});

test("another format is refused", () => {
  assert.throws(() => readChart({ ...HALL, format: 2 }), /format 2/);
});

const WHOLE = {
  plan_version_id: 7, cursor: 100, free: 3, after: null, bitmap: "JgA=", freed: [], taken: [],
};

test("the bitmap tells which seats are free, and changes are applied to it", () => {
  const free = new FreeSeats();
  assert.deepEqual(free.read(WHOLE), { whole: true });
  assert.deepEqual([0, 1, 2, 5, 6, 99].map((seat) => free.isFree(seat)), [false, true, true, true, false, false]);
  const change = { ...WHOLE, cursor: 101, after: 100, bitmap: null, free: 3, freed: [10], taken: [1] };
  assert.deepEqual(free.read(change), { whole: false, freed: [10], taken: [1] });
  assert.deepEqual([1, 2, 5, 10].map((seat) => free.isFree(seat)), [false, true, true, true]);
  assert.equal(free.cursor, 101);
  assert.deepEqual(free.read({ ...change, after: 101, freed: [], taken: [] }), { whole: false, freed: [], taken: [] });
});

test("changes that do not fit are refused, and change nothing", () => {
  const free = new FreeSeats();
  const change = { ...WHOLE, cursor: 101, after: 100, bitmap: null, free: 2, taken: [1] };
  assert.throws(() => free.read(change), /another cursor/);
  free.read(WHOLE);
  assert.throws(() => free.read({ ...change, after: 99 }), /another cursor/);
  assert.throws(() => free.read({ ...change, plan_version_id: 8 }), /another cursor/);
  assert.throws(() => free.read({ ...change, free: 3 }), /do not fit/);
  assert.equal(free.cursor, 100);
  assert.ok(free.isFree(1));
});

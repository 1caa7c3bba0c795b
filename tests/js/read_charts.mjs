// Reads charts, one JSON document a line, and writes what was understood of each, for the tests in Python.
import { createInterface } from "node:readline";

import { nameOf, readChart } from "../../web/pages/static/chart.js";

for await (const line of createInterface({ input: process.stdin })) {
  const chart = readChart(JSON.parse(line));
  const seats = Array.from(chart.seat, (seat, place) => {
    const name = nameOf(chart, place);
    return [
      seat, chart.category[place], name.zone, name.row, name.label, name.number, chart.x[place],
      chart.y[place], chart.flags[place], name.standing,
    ];
  });
  process.stdout.write(`${JSON.stringify(seats)}\n`);
}

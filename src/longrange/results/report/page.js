"use strict";
// Sorting, filtering and choosing runs. Without this script the page shows everything, as it was written.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// A cell's key; "" where a number is missing.
function keyOf(row, place, numeric) {
  const cell = row.cells[place];
  const key = cell.dataset.key ?? cell.textContent.trim();
  return numeric ? (key === "" || isNaN(key) ? "" : Number(key)) : key;
}

function sort(heading) {
  const first = heading.dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  const place = heading.cellIndex, numeric = heading.classList.contains("number");
  const body = heading.closest("table").tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row, place, numeric), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return order === "ascending" ? difference : -difference;
  });
  body.append(...rows.map(([, row]) => row));
  all("th", heading.parentElement).forEach((th) => th.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order);
}

all("th button").forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));

// Shows the rows of one table that contain every word.
function filter(table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of table.tBodies[0].rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
  }
}

// Everything else that belongs to a run follows the table of all runs: its filter, and its ticks where there are any.
const runs = document.getElementById("runs-table");

function follow() {
  const rows = all("tbody tr", runs);
  const seen = rows.filter((row) => !row.hidden);
  const ticked = seen.filter((row) => row.querySelector("input").checked);
  const shown = new Set((ticked.length ? ticked : seen).map((row) => row.dataset.run));
  all("[data-run]").forEach((element) => {
    if (!runs.contains(element)) element.classList.toggle("gone", !shown.has(element.dataset.run));
  });
  all("section.task").forEach((section) => {
    const left = all("tbody tr:not(.gone)", section);
    section.classList.toggle("gone", !left.length);
    uniform(section.querySelector("table"), left);
  });
  document.getElementById("count").textContent =
    `${seen.length} of ${rows.length}` + (ticked.length ? `, ${ticked.length} chosen` : "");
}

// Hides the settings that no longer differ between the rows that are left.
function uniform(table, left) {
  const headings = table.tHead.rows[0].cells;
  for (let place = 0; place < headings.length; place++) {
    if (!headings[place].classList.contains("setting")) continue;
    const same = new Set(left.map((row) => row.cells[place].textContent)).size < 2;
    for (const row of table.rows) row.cells[place].classList.toggle("gone", same && left.length > 1);
  }
}

all("input[type=search]").forEach((input) => {
  const table = document.getElementById(input.dataset.table);
  input.addEventListener("input", () => {
    filter(table, input.value);
    if (table === runs) follow();
  });
});

if (runs) {
  runs.addEventListener("change", follow);
  document.getElementById("none").addEventListener("click", () => {
    all("input", runs).forEach((box) => (box.checked = false));
    follow();
  });
}

// A row of a task and its curves point to each other.
function point(run, on) {
  all(`[data-run="${CSS.escape(run)}"]`).forEach((element) => element.classList.toggle("pointed", on));
}

all("section.task [data-run]").forEach((element) => {
  element.addEventListener("mouseenter", () => point(element.dataset.run, true));
  element.addEventListener("mouseleave", () => point(element.dataset.run, false));
});

// A link to a run opens it.
function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

addEventListener("hashchange", open);
open();

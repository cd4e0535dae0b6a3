"use strict";
// The same filters and orders as the server's, over the rows of this folder (rows.js); the address keeps them.
const { page: PAGE, rows: ROWS } = window.overnight;
const form = document.querySelector("form");
const here = document.body.dataset.row;

function chosen() {
  return new URLSearchParams(location.hash.slice(1));
}

function holds(row, given, words) {
  for (const flag of document.body.dataset.flags.split(" ")) {
    if (given.get(flag) === "1" && !row.flags.includes(flag)) return false;
  }
  for (const [key, value] of given) {
    if (key.startsWith("is.") && value && !(row.values[key.slice(3)] || []).includes(value)) return false;
  }
  return !words || row.words.includes(words);
}

function selected(given) {
  const words = (given.get("words") || "").toLowerCase();
  const order = given.get("order") || "place";
  const turned = given.get("up") === "1" ? -1 : 1;
  const down = (order === "place" || order === "least_sure" ? 1 : -1) * turned;
  const found = ROWS.filter((row) => holds(row, given, words));
  return found.sort((a, b) => {
    const [x, y] = [a.orders[order] ?? null, b.orders[order] ?? null];
    if (x === null || y === null) return x === y ? a.n - b.n : x === null ? 1 : -1;
    return x === y ? a.n - b.n : (x - y) * down;
  });
}

function link(rel, target) {
  const anchor = document.querySelector(`a[rel=${rel}]`);
  if (!anchor) return;
  anchor.hidden = target === null;
  if (target === null) anchor.removeAttribute("href");
  else anchor.href = target;
}

function without(given, ...keys) {
  const left = new URLSearchParams(given);
  for (const key of keys) left.delete(key);
  for (const [key, value] of [...left]) if (!value) left.delete(key);
  return left;
}

function showRow(given) {
  const rows = selected(given);
  const number = Number(here);
  const place = rows.findIndex((row) => row.n === number);
  const filters = without(given, "row", "page").toString();
  const to = (row) => (row === undefined ? null : `${row.n}.html#${filters}`);
  link("prev", place > 0 ? to(rows[place - 1]) : null);
  link("next", to(rows[place + 1]));
  link("up", `../index.html#${filters}`);
  document.getElementById("place").textContent = place < 0 ? "" : `${place + 1} of ${rows.length}`;
}

function refused(given) {
  const fields = form.elements;
  const strange = [...given.keys()].find((key) => !fields.namedItem(key) && !["page", "row", "prompt"].includes(key));
  if (strange) return `${strange}: no such filter here`;
  const order = given.get("order");
  if (order && ![...fields.namedItem("order").options].some((option) => option.value === order)) {
    return `order=${order}: no such order here`;
  }
  return given.get("row") ? `row ${given.get("row")} is not in this folder` : "";
}

function showList(given) {
  if (ROWS.some((row) => String(row.n) === given.get("row"))) {
    location.replace(`rows/${given.get("row")}.html#${without(given, "row", "page")}`);
    return;
  }
  const reason = refused(given);
  const rows = reason ? [] : selected(given);
  const filters = without(given, "page");
  const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
  const page = Math.max(0, Math.min(Math.trunc(given.get("page")) || 0, last));
  const body = document.querySelector(".list tbody");
  const lines = new Map([...body.rows].map((line) => [Number(line.dataset.row), line]));
  for (const line of body.rows) line.hidden = true;
  for (const row of rows.slice(page * PAGE, (page + 1) * PAGE)) {
    const line = lines.get(row.n);
    line.hidden = false;
    line.querySelector("a").href = `rows/${row.n}.html#${filters}`;
    body.append(line);
  }
  const at = (number) => {
    const left = new URLSearchParams(filters);
    if (number) left.set("page", number);
    return `#${left}`;
  };
  link("prev", page > 0 ? at(page - 1) : null);
  link("next", page < last ? at(page + 1) : null);
  document.getElementById("place").textContent = reason || `${rows.length} rows, page ${page + 1} of ${last + 1}`;
  for (const field of form.elements) {
    if (field.type === "checkbox") field.checked = given.get(field.name) === "1";
    else if (field.name && field !== document.activeElement) field.value = given.get(field.name) ?? field.dataset.usual ?? "";
  }
}

function show() {
  if (here === undefined) showList(chosen());
  else showRow(chosen());
}

if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const given = new URLSearchParams(new FormData(form));
    if (given.get("order") === "place") given.delete("order");
    const address = `#${without(given)}`;
    history.replaceState(null, "", address);
    show();
  });
}
window.addEventListener("hashchange", show);
show();

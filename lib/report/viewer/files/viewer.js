"use strict";
// Keys, where no field has the focus that takes them itself: links of the page say by `rel` where they lead.
const KEYS = { j: "next", ArrowRight: "next", k: "prev", ArrowLeft: "prev", u: "up", Escape: "up" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") {
    const words = document.querySelector("input[type=search]");
    if (words) { words.focus(); event.preventDefault(); }
    return;
  }
  const opens = event.key === "j" && document.querySelector(".list tbody tr:not([hidden]) a");
  const link = opens || document.querySelector(`a[rel=${KEYS[event.key] || "none"}][href]`);
  if (link) { event.preventDefault(); link.click(); }
});

// Gives names to the fields of Django's own forms that have none: a cell of a table is named by its column, the two
// halves of a moment by the field and the half, and what scripts add later when it gets the focus.
"use strict";

(() => {
  function name(field, words) {
    if (words && !field.getAttribute("aria-label")) field.setAttribute("aria-label", words.replace(/\s+/g, " ").trim());
  }

  function nameAll() {
    for (const row of document.querySelectorAll(".inline-group .tabular tbody tr")) {
      const heads = [...row.closest("table").querySelectorAll("thead th")];
      const offset = row.cells.length - heads.length;
      [...row.cells].forEach((cell, index) => {
        const head = heads[index - Math.max(offset, 0)];
        for (const field of cell.querySelectorAll("input:not([type=hidden]), select, textarea")) {
          if (!field.labels || !field.labels.length) name(field, head ? head.textContent : "");
        }
      });
    }
    for (const field of document.querySelectorAll(".vDateField, .vTimeField")) {
      if (field.labels && field.labels.length) continue;
      const legend = field.closest("fieldset, .form-row")?.querySelector("legend, label");
      const half = field.classList.contains("vDateField") ? "date" : "time";
      name(field, `${legend ? legend.textContent.replace(":", "") : ""} ${half}`);
    }
    for (const field of document.querySelectorAll(".select2-search__field")) name(field, "Search");
    for (const tip of document.querySelectorAll(".help-tooltip[aria-label]:not([role])")) tip.setAttribute("role", "img");
  }

  window.addEventListener("load", nameAll);
  document.addEventListener("focusin", nameAll);
})();

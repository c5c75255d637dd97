// Keys for who answers many questions. They work while no field has the focus, and can be turned off.
"use strict";

(() => {
  const STORED = "wf-keys-off";
  const dialog = document.getElementById("wf-keys");
  const opener = document.getElementById("wf-keys-open");
  const wanted = document.getElementById("wf-keys-on");
  if (!dialog) return;

  function on() {
    return localStorage.getItem(STORED) === null;
  }

  function help() {
    wanted.checked = on();
    dialog.showModal();
  }

  function rows() {
    return [...document.querySelectorAll("#result_list tbody tr, .wf-questions li")].map((row) => row.querySelector("a")).filter(Boolean);
  }

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const row = document.activeElement.closest("#result_list tbody tr, .wf-questions li");
    const now = row ? all.indexOf(row.querySelector("a")) : -1;
    const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1);
    all[next].focus();
  }

  function focus(selector) {
    const found = document.querySelector(selector);
    if (found) found.focus();
  }

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    x: () => {
      const row = document.activeElement.closest("#result_list tbody tr");
      const box = row && row.querySelector("input.action-select");
      if (box) box.click();
    },
    n: () => {
      const show = document.getElementById("wf-inbox-show");
      if (show && !show.hidden) show.click();
    },
    "/": () => focus("#searchbar"),
    a: () => focus(".wf-decide button, .wf-bulk button"),
    c: () => focus("#id_comments"),
    u: () => {
      const back = document.querySelector(".breadcrumbs a[data-inbox]");
      if (back) back.click();
    },
    "?": help,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || dialog.open || !on()) return;
    const target = event.target;
    if (target.closest("textarea, select, [contenteditable]")) return;
    if (target.matches("input:not([type=checkbox])")) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  opener.hidden = false;
  opener.addEventListener("click", help);
  wanted.addEventListener("change", () => {
    if (wanted.checked) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, "yes");
  });
})();

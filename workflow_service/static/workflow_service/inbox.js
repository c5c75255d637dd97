// Keeps an open inbox honest without moving it: what is new is counted and shown when asked for, what was answered
// meanwhile is said in its row. Nothing moves under a hand that is about to tick a box.
"use strict";

(() => {
  const place = document.getElementById("wf-inbox");
  if (!place) return;
  const words = document.getElementById("wf-inbox-words");
  const show = document.getElementById("wf-inbox-show");
  const list = () => document.querySelector(place.dataset.list);
  const title = document.title;
  let after = Number(place.dataset.after);

  function rows() {
    const found = new Map();
    for (const row of list().querySelectorAll("[data-row]")) found.set(row.dataset.row, row);
    for (const box of list().querySelectorAll("input.action-select")) found.set(box.value, box.closest("tr"));
    return found;
  }

  // Among all of them those that wait are those with a time to answer.
  function waits(row) {
    if (row.classList.contains("wf-gone")) return false;
    return place.dataset.tab !== "all" || row.querySelector("time[data-due]") !== null;
  }

  function say(fresh) {
    document.title = fresh ? `(${fresh}) ${title}` : title;
    const text = fresh ? `${fresh} new` : "";
    if (words.textContent !== text) words.textContent = text;
    show.hidden = !fresh;
  }

  function close(row, outcome) {
    row.classList.add("wf-gone");
    const box = row.querySelector("input.action-select");
    if (box) {
      if (box.checked) box.click();
      box.disabled = true;
    }
    const state = row.querySelector("[data-state], .field-due");
    const badge = document.createElement("span");
    badge.className = `wf-badge wf-tone-${outcome.tone}`;
    badge.textContent = outcome.words;
    if (state) state.replaceChildren(badge);
  }

  function count(counts) {
    for (const tab of document.querySelectorAll("[data-tab] [data-count]")) {
      const now = String(counts[tab.parentElement.dataset.tab]);
      if (tab.textContent !== now) tab.textContent = now;
    }
  }

  async function ask() {
    const shown = rows();
    const waiting = [...shown].filter(([, row]) => waits(row)).map(([key]) => key);
    const query = new URLSearchParams({ after, inbox: place.dataset.tab, shown: waiting.join(",") });
    const response = await fetch(`${place.dataset.news}?${query}`, { credentials: "same-origin", redirect: "manual" });
    if (!response.ok) return;
    const news = await response.json();
    for (const [key, outcome] of Object.entries(news.closed)) if (shown.has(key)) close(shown.get(key), outcome);
    count(news.counts);
    // Where there is nothing, nothing can move.
    if (news.new && list().querySelector("[data-empty]")) await renew();
    else say(news.new);
  }

  async function renew() {
    const response = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
    if (!response.ok) return location.reload();
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const ticked = new Set([...list().querySelectorAll("input.action-select:checked")].map((box) => box.value));
    const known = new Set(rows().keys());
    list().replaceWith(document.adoptNode(fresh.querySelector(place.dataset.list)));
    after = Number(fresh.getElementById("wf-inbox").dataset.after);
    const boxes = list().querySelectorAll("input.action-select");
    for (const box of boxes) box.checked = ticked.has(box.value);
    if (boxes.length && window.Actions) {
      window.Actions(boxes);
      for (const box of boxes) if (box.checked) box.dispatchEvent(new Event("change", { bubbles: true }));
    }
    for (const [key, row] of rows()) row.classList.toggle("wf-fresh", !known.has(key));
    say(0);
  }

  show.addEventListener("click", async (event) => {
    event.preventDefault();
    await renew();
    const first = list().querySelector(".wf-fresh a, a");
    if (first) first.focus();
  });

  window.followApprovals(after, ask);
})();

// Keeps a page up to date: a socket says that something happened, the server renders what is shown.
// Without a socket the page asks every few seconds. Nothing here knows what the page is about.
"use strict";

(() => {
  const POLL_MS = 5000;
  const SETTLE_MS = 250;
  const RETRY_MAX_MS = 30000;

  const place = document.getElementById("wf-live");
  if (!place) return;

  let after = Number(place.dataset.after || 0);
  // Where the page has a log, its lines and the progress of blocks are followed too.
  let afterLog = place.dataset.afterLog === undefined ? null : Number(place.dataset.afterLog);
  let ended = "ended" in place.dataset;
  let socket = null;
  let retryMs = 1000;
  let refreshTimer = null;
  let pollTimer = null;
  let stopped = false;

  function say(text, live) {
    const state = place.querySelector(".wf-live-state");
    if (!state || state.textContent === text) return;
    state.textContent = text;
    state.classList.toggle("wf-is-live", Boolean(live));
  }

  // What the reader has opened, scrolled and focused is theirs to keep.
  function remember() {
    const open = new Map([...place.querySelectorAll("details[id]")].map((item) => [item.id, item.open]));
    const scrolled = [...place.querySelectorAll(".wf-scroll[id]")].map((item) => [item.id, item.scrollLeft, item.scrollTop]);
    const active = document.activeElement;
    const focused = place.contains(active) ? active.id || active.getAttribute("href") || "" : "";
    return { open, scrolled, focused };
  }

  function restore(memory) {
    for (const [id, open] of memory.open) {
      const item = document.getElementById(id);
      if (item) item.open = open;
    }
    for (const [id, left, top] of memory.scrolled) {
      const item = document.getElementById(id);
      if (item) item.scrollTo(left, top);
    }
    if (memory.focused) {
      const again = memory.focused.startsWith("#")
        ? [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === memory.focused)
        : document.getElementById(memory.focused);
      if (again) again.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    refreshTimer = null;
    let response;
    try {
      response = await fetch(place.dataset.refresh, { credentials: "same-origin", redirect: "manual" });
    } catch {
      say("No connection, trying again");
      return;
    }
    if (!response.ok) {
      stop("Signed out or moved: reload the page");
      return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const memory = remember();
    place.replaceChildren(...fresh.body.childNodes);
    restore(memory);
    const head = place.querySelector("[data-after]");
    if (head) {
      after = Math.max(after, Number(head.dataset.after));
      if (afterLog !== null) afterLog = Math.max(afterLog, Number(head.dataset.afterLog || 0));
      ended = "ended" in head.dataset;
      // Commands stand outside of what is replaced: none vanishes under a finger.
      const offered = (head.dataset.commands || "").split(" ");
      for (const button of document.querySelectorAll("[data-command]")) {
        button.hidden = !offered.includes(button.dataset.command);
      }
    }
    report();
    if (ended) stop("");
  }

  function soon() {
    if (refreshTimer === null && !stopped) refreshTimer = setTimeout(refresh, SETTLE_MS);
  }

  function connected() {
    return socket !== null && socket.readyState === WebSocket.OPEN;
  }

  function report() {
    if (ended || stopped) return;
    if (connected()) say("Live", true);
    else say(`Asks every ${POLL_MS / 1000} s`);
  }

  function connect() {
    if (stopped) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${place.dataset.socket}?after=${after}${afterLog === null ? "" : `&after_log=${afterLog}`}`);
    socket.addEventListener("open", () => {
      retryMs = 1000;
      report();
    });
    socket.addEventListener("message", (message) => {
      const told = JSON.parse(message.data);
      if (told.seq) after = Math.max(after, told.seq);
      if (told.type === "log") afterLog = told.cursor;
      soon();
    });
    socket.addEventListener("close", (event) => {
      report();
      if (event.code >= 4400 && event.code <= 4404) return;
      setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    });
  }

  function stop(text) {
    stopped = true;
    clearInterval(pollTimer);
    if (socket) socket.close();
    say(text);
  }

  if (ended) return;
  connect();
  pollTimer = setInterval(() => {
    if (!connected() && !document.hidden) soon();
  }, POLL_MS);
})();

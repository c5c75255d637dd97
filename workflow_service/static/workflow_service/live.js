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

  // What the server last sent of each part: where it says the same again, the part is left alone.
  const known = new Map();
  for (const part of place.querySelectorAll("[data-part]")) known.set(part.dataset.part, part.innerHTML);

  let pointer = null;
  document.addEventListener("pointermove", (event) => {
    pointer = event.pointerType === "mouse" ? [event.clientX, event.clientY] : null;
  });
  document.documentElement.addEventListener("pointerleave", () => {
    pointer = null;
  });

  function idAround(element) {
    const found = element && element.closest("[id]");
    return found && place.contains(found) && found !== place ? found.id : "";
  }

  // What must not move: what the pointer is on, else what has the focus, else what is at the top of the window.
  function anchor() {
    const active = document.activeElement;
    const candidates = [
      pointer && document.elementFromPoint(...pointer),
      place.contains(active) ? active : null,
      window.scrollY > 0 ? document.elementFromPoint(window.innerWidth / 2, 8) : null,
    ];
    for (const candidate of candidates) {
      const id = idAround(candidate);
      if (!id) continue;
      const list = candidate.closest(".wf-tall");
      return { id, top: topOf(document.getElementById(id)), list, listTop: list ? topOf(list) : 0 };
    }
    return null;
  }

  function topOf(element) {
    return element.getBoundingClientRect().top;
  }

  function hold(held) {
    const element = held && document.getElementById(held.id);
    if (!element) return;
    // The page moves by as much as its list did, and the list by what is left.
    const shift = held.list && held.list !== element ? topOf(held.list) - held.listTop : topOf(element) - held.top;
    if (Math.abs(shift) >= 1) window.scrollBy({ top: shift, behavior: "instant" });
    if (held.list && held.list !== element) held.list.scrollTop += topOf(element) - held.top;
  }

  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

  // What the reader has opened, scrolled and focused in a part is theirs to keep.
  function remember(part) {
    const open = [...part.querySelectorAll("details[id]")].map((item) => [item.id, item.open]);
    const scrolled = [...part.querySelectorAll("pre")].filter((item) => item.scrollTop && idAround(item)).map((item) => [idAround(item), item.scrollTop]);
    const active = document.activeElement;
    let focused = null;
    if (part.contains(active) && active !== part) {
      const host = active.closest("[id]");
      focused = { id: host.id, index: host === active ? -1 : [...host.querySelectorAll(FOCUSABLE)].indexOf(active) };
    }
    return { open, scrolled, focused };
  }

  function restore(memory) {
    for (const [id, open] of memory.open) {
      const item = document.getElementById(id);
      if (item) item.open = open;
    }
    for (const [id, top] of memory.scrolled) {
      const item = document.querySelector(`#${CSS.escape(id)} > pre`);
      if (item) item.scrollTop = top;
    }
    const host = memory.focused && document.getElementById(memory.focused.id);
    if (!host) return;
    const again = memory.focused.index < 0 ? host : host.querySelectorAll(FOCUSABLE)[memory.focused.index];
    if (again) again.focus({ preventScroll: true });
  }

  function isSelectedIn(part) {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && selection.containsNode(part, true);
  }

  function update(fresh) {
    const held = anchor();
    let waiting = false;
    for (const sent of fresh.querySelectorAll("[data-part]")) {
      const name = sent.dataset.part;
      const part = place.querySelector(`[data-part="${name}"]`);
      if (!part || known.get(name) === sent.innerHTML) continue;
      // Who selects text is about to copy it.
      if (isSelectedIn(part)) {
        waiting = true;
        continue;
      }
      known.set(name, sent.innerHTML);
      const memory = remember(part);
      part.replaceChildren(...sent.childNodes);
      restore(memory);
    }
    hold(held);
    if (waiting) setTimeout(soon, POLL_MS);
    return waiting;
  }

  // Commands stand outside of what is replaced. None comes, goes or moves while a hand is among them.
  const commands = document.querySelector(".wf-commands");
  let offered = null;

  function offer() {
    if (!commands || !offered || commands.matches(":hover, :focus-within")) return;
    for (const button of commands.querySelectorAll("[data-command]")) {
      button.hidden = !offered.includes(button.dataset.command);
    }
  }

  if (commands) {
    commands.addEventListener("pointerleave", () => setTimeout(offer));
    commands.addEventListener("focusout", () => setTimeout(offer));
  }

  async function refresh() {
    refreshTimer = null;
    let response;
    try {
      response = await fetch(place.dataset.refresh, { credentials: "same-origin", redirect: "manual" });
    } catch {
      again("No connection, trying again");
      return;
    }
    if (response.status >= 500 || response.status === 429) {
      again("The service does not answer, trying again");
      return;
    }
    if (!response.ok) {
      stop("Signed out or moved: reload the page");
      return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const head = fresh.querySelector("[data-after]");
    if (head) {
      after = Math.max(after, Number(head.dataset.after));
      if (afterLog !== null) afterLog = Math.max(afterLog, Number(head.dataset.afterLog || 0));
      ended = "ended" in head.dataset;
      offered = (head.dataset.commands || "").split(" ");
      offer();
    }
    const waiting = update(fresh);
    report();
    if (ended && !waiting) stop("");
  }

  function again(text) {
    say(text);
    setTimeout(soon, POLL_MS);
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

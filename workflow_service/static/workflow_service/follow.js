// Follows what happens to approvals: a socket says that something did, the server says what it means for this page.
// Without a socket the page asks every few seconds. Whoever uses it gives a function that asks and shows.
"use strict";

window.followApprovals = (() => {
  const POLL_MS = 5000;
  const SETTLE_MS = 200;
  const RETRY_MAX_MS = 30000;

  // Times in words, as the server writes them, kept current while the page is open.
  function far(seconds) {
    for (const [unit, length, most] of [["minute", 60, 90], ["hour", 3600, 36], ["day", 86400, Infinity]]) {
      const number = Math.max(1, Math.round(seconds / length));
      if (number < most) return `${number} ${unit}${number === 1 ? "" : "s"}`;
    }
    return "";
  }

  function refreshTimes() {
    for (const time of document.querySelectorAll("time[data-due]")) {
      const ahead = (new Date(time.dateTime) - Date.now()) / 1000;
      time.textContent = ahead > 0 ? `due in ${far(ahead)}` : `overdue by ${far(-ahead)}`;
      time.classList.toggle("wf-overdue", ahead <= 0);
    }
  }
  setInterval(refreshTimes, 30000);

  return (after, ask) => {
    let socket = null;
    let retryMs = 1000;
    let timer = null;
    let seen = after;
    let asking = false;
    let again = false;

    async function askNow() {
      timer = null;
      if (asking) {
        again = true;
        return;
      }
      asking = true;
      try {
        await ask();
      } catch {
        // No connection: the next turn asks again.
      }
      asking = false;
      if (again) {
        again = false;
        soon();
      }
    }

    function soon() {
      if (timer === null) timer = setTimeout(askNow, SETTLE_MS);
    }

    function connected() {
      return socket !== null && socket.readyState === WebSocket.OPEN;
    }

    function connect() {
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      socket = new WebSocket(`${scheme}//${location.host}/ws/approvals?after=${seen}`);
      socket.addEventListener("open", () => {
        retryMs = 1000;
      });
      socket.addEventListener("message", (message) => {
        const told = JSON.parse(message.data);
        if (told.id) seen = Math.max(seen, told.id);
        soon();
      });
      socket.addEventListener("close", (event) => {
        if (event.code >= 4400 && event.code <= 4404) return;
        setTimeout(connect, retryMs);
        retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
      });
    }

    connect();
    setInterval(() => {
      if (!connected() && !document.hidden) soon();
    }, POLL_MS);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) soon();
    });
  };
})();

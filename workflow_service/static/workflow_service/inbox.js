// Tells the reader of the inbox that something changed since the list was rendered; the list itself stays put,
// so that nothing moves under a hand that is about to tick a box.
"use strict";

(() => {
  const RETRY_MAX_MS = 30000;
  const notice = document.getElementById("wf-inbox");
  if (!notice) return;

  let after = Number(notice.dataset.after);
  let retryMs = 1000;
  let asked = 0;
  let answered = 0;

  function show() {
    const parts = [];
    if (asked) parts.push(`${asked} new`);
    if (answered) parts.push(`${answered} answered or closed`);
    notice.querySelector("span").textContent = `${parts.join(", ")} since this list was made.`;
    notice.hidden = false;
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/approvals?after=${after}`);
    socket.addEventListener("open", () => {
      retryMs = 1000;
    });
    socket.addEventListener("message", (message) => {
      const told = JSON.parse(message.data);
      if (!told.id) return;
      after = Math.max(after, told.id);
      if (told.type === "approval_requested") asked += 1;
      else if (told.type !== "approval_timeout") answered += 1;
      if (asked || answered) show();
    });
    socket.addEventListener("close", (event) => {
      if (event.code >= 4400 && event.code <= 4404) return;
      setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    });
  }

  connect();
})();

// Tells the reader of a question that it was answered or changed meanwhile. What they have typed stays theirs.
"use strict";

(() => {
  const place = document.getElementById("wf-approval");
  if (!place || "closed" in place.dataset) return;
  const words = document.getElementById("wf-approval-words");

  async function ask() {
    const query = new URLSearchParams({ inbox: "all", after: place.dataset.after, shown: place.dataset.key });
    const response = await fetch(`${place.dataset.news}?${query}`, { credentials: "same-origin", redirect: "manual" });
    if (!response.ok) return;
    const outcome = (await response.json()).closed[place.dataset.key];
    if (!outcome || words.textContent) return;
    words.textContent = `${outcome.words} meanwhile.`;
    document.getElementById("wf-approval-show").hidden = false;
    for (const button of document.querySelectorAll(".wf-decide button")) button.disabled = true;
  }

  window.followApprovals(Number(place.dataset.after), ask);
})();

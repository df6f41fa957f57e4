/* Marks what is getting old, counts ages on, and keeps live updates from moving what somebody is about to press.
   Everything works without this file; only the page then stands still, and says so. */
(() => {
  "use strict";

  const SILENCE_MS = 4000;
  const TICK_MS = 500;
  const POLITE_MS = 10000;
  const SLOW_ANSWER_MS = 2000;
  const SIGNS = ["normal", "info", "paused", "caution", "unknown", "alarm", "stopped"];

  const body = document.body;
  const live = document.getElementById("live");
  const away = document.getElementById("away");
  const connection = document.getElementById("connection");
  const held = new Map();
  let lastBeat = 0;
  let clockAhead = 0;
  let isAway = false;
  let isRefreshed = false;
  let lastPolite = 0;
  let firmSign = document.getElementById("firm-state")?.dataset.sign;
  let firmWord = wordOf(document.getElementById("firm-state"));

  function wordOf(element) {
    return element?.querySelector(".word")?.textContent ?? "";
  }

  function showConnection(sign, word) {
    const shown = connection?.querySelector(".sign");
    if (!shown || shown.dataset.shown === sign + word) return;
    shown.dataset.shown = sign + word;
    shown.classList.remove(...SIGNS.map((name) => `sign-${name}`));
    shown.classList.add(`sign-${sign}`);
    shown.querySelector("use").setAttribute("href", `#sign-${sign}`);
    document.getElementById("connection-word").textContent = word;
  }

  function ageText(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const two = (number) => String(number).padStart(2, "0");
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  }

  const milliseconds = (nanoseconds) => Number(nanoseconds.slice(0, -6) || "0");

  const utcTime = (moment) => new Date(moment).toISOString().slice(11, 19);

  function countAgesOn() {
    const now = Date.now() + clockAhead;
    for (const element of document.querySelectorAll("[data-age-of]")) {
      const moment = milliseconds(element.dataset.ageOf);
      if (!moment) continue;
      const text = ageText(now - moment);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  function addLocalTime(event) {
    const element = event.target instanceof Element ? event.target.closest("time[data-ns]") : null;
    if (element && !element.title) {
      const moment = new Date(milliseconds(element.dataset.ns));
      element.title = `${moment.toLocaleString()} local time`;
    }
  }

  function markAway(word) {
    showConnection("unknown", word);
    if (isAway) return;
    isAway = true;
    isRefreshed = false;
    body.classList.add("is-away");
    if (away) away.hidden = false;
    sayPolitely("Live connection lost. The page is getting old.");
  }

  function markBack() {
    showConnection("normal", "live");
    if (!isAway) return;
    isAway = false;
    body.classList.remove("is-away");
    if (away) away.hidden = true;
    sayPolitely("Live again and up to date.");
  }

  function sayPolitely(text) {
    const now = Date.now();
    if (now - lastPolite < POLITE_MS) return;
    lastPolite = now;
    document.getElementById("said-politely").textContent = text;
  }

  function announceFirm() {
    const element = document.getElementById("firm-state");
    if (!element) return;
    const sign = element.dataset.sign;
    const word = wordOf(element);
    if (sign === firmSign && word === firmWord) return;
    firmSign = sign;
    firmWord = word;
    if (sign === "stopped") document.getElementById("said-at-once").textContent = `The firm is ${word}.`;
    else sayPolitely(`The firm is ${word}.`);
  }

  function showCounts() {
    const counts = document.getElementById("panel-counts");
    if (!counts) return;
    for (const [which, text] of [["scope", counts.dataset.scopeCount], ["firm", counts.dataset.firmCount]]) {
      for (const element of document.querySelectorAll(`[data-count-of="${which}"]`)) {
        if (element.textContent !== text) element.textContent = text;
      }
    }
  }

  /* Rows under the pointer or with the focus hold still; what would change them waits. */
  function isHeld(target) {
    const rows = target.querySelectorAll("[data-holds]");
    return [...rows].some((row) => row.matches(":hover") || row.contains(document.activeElement));
  }

  function beforeSwap(event) {
    const tasks = event.detail.tasks;
    if (!tasks) return;
    for (let index = tasks.length - 1; index >= 0; index -= 1) {
      const task = tasks[index];
      const target = typeof task.target === "string" ? document.querySelector(task.target) : task.target;
      const coming = task.fragment?.querySelector?.("[data-panel]");
      if (!target?.dataset || !coming) continue;
      if (Number(coming.dataset.sequence) < Number(target.dataset.sequence)) {
        tasks.splice(index, 1);
      } else if (isHeld(target) && !isAway) {
        held.set(target.id, coming.outerHTML);
        target.dataset.held = "";
        tasks.splice(index, 1);
      } else {
        held.delete(target.id);
      }
    }
  }

  function releaseHeld() {
    for (const [id, html] of held) {
      const target = document.getElementById(id);
      if (!target) { held.delete(id); continue; }
      if (isHeld(target)) continue;
      held.delete(id);
      const text = `<hx-partial hx-target="#${id}" hx-swap="outerMorph">${html}</hx-partial>`;
      window.htmx.swap({ text, sourceElement: live, target: live, swap: "none" });
    }
  }

  function takeBeat(event) {
    const beat = JSON.parse(event.detail.data);
    lastBeat = Date.now();
    clockAhead = milliseconds(beat.now_ns) - lastBeat;
    for (const [id, moment] of Object.entries(beat.as_of_ns)) {
      const panel = document.getElementById(id);
      if (!panel || "held" in panel.dataset) continue;
      panel.dataset.asOf = moment;
      const shown = panel.querySelector(".as-of");
      if (shown) { shown.textContent = utcTime(milliseconds(moment)); shown.dataset.ns = moment; shown.removeAttribute("title"); }
      for (const age of panel.querySelectorAll(".panel-age [data-age-of], .strip-age [data-age-of]")) age.dataset.ageOf = moment;
    }
    /* After a cut the server sends every panel before its first beat, so that nothing old is shown as live. */
    if (!isAway || isRefreshed) markBack();
    countAgesOn();
  }

  function watchConnection() {
    countAgesOn();
    releaseHeld();
    if (!live) return;
    if (lastBeat && Date.now() - lastBeat > SILENCE_MS) markAway("connection lost");
  }

  function watchStops() {
    for (const form of document.querySelectorAll("form.rung")) {
      form.addEventListener("submit", () => {
        setTimeout(() => {
          document.getElementById("elsewhere")?.classList.add("is-urgent");
          document.getElementById("elsewhere")?.scrollIntoView({ block: "start" });
        }, SLOW_ANSWER_MS);
      });
    }
  }

  document.addEventListener("mouseover", addLocalTime);
  document.addEventListener("focusin", addLocalTime);
  document.addEventListener("htmx:before:swap", beforeSwap);
  document.addEventListener("htmx:after:swap", () => { isRefreshed = true; announceFirm(); showCounts(); });
  document.addEventListener("htmx:sse:error", () => markAway("connection lost"));
  document.addEventListener("htmx:sse:close", () => markAway("connection closed"));
  if (live) {
    live.addEventListener("beat", takeBeat);
    live.addEventListener("trouble", (event) => { lastBeat = Date.now(); showConnection("unknown", "trouble"); sayPolitely(event.detail.data); });
    live.addEventListener("refused", (event) => { markAway("too many live pages"); if (away) away.textContent = event.detail.data; });
    live.addEventListener("signed-out", () => window.location.assign("/sign-in"));
    showConnection("info", "connecting");
    setTimeout(() => { if (!lastBeat) markAway("not live"); }, SILENCE_MS);
  }
  setInterval(watchConnection, TICK_MS);
  watchStops();
})();

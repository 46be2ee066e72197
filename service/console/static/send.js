// The page Send: what a send will get, and its lists fetched before.

import { ageOf, byId, during, fill, get, make, post, say } from "./console.js";

const USERS_AT_A_TIME = 250;
const SECONDS_AT_A_TIME = 4;
const MAX_FAILURES_IN_A_ROW = 100;
const STATE_MS = 10000;

const numberIn = (id) => Number(byId(id).value);
const count = (number) => number.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/* The plan. */

function chosenTps() {
  byId("tps").value = byId("placement").selectedOptions[0]?.dataset.tps ?? 1;
}

async function plan() {
  const found = await post("send/plan", {
    placement: byId("placement").value,
    recipients: numberIn("recipients"),
    minutes: numberIn("minutes"),
    tps: numberIn("tps"),
    passes: numberIn("passes"),
    fresh: numberIn("fresh"),
    batch: numberIn("batch"),
    active: byId("active") ? numberIn("active") : 0,
  });
  const { verdict } = found;
  fill(byId("answer"),
    make("p", { class: "sentence" }, found.sentence),
    make("p", { class: verdict.all_fresh ? "good" : "warn" }, verdict.sentence),
    verdict.ways_out.length ? make("ol", { class: "ways" }, ...verdict.ways_out.map((way) => make("li", {}, ...commands(way)))) : null,
  );
  fill(byId("details"), picture(found), table(found), notes(found));
}

/** What stands between backticks is to be typed. */
const commands = (text) => text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));

/** The picture comes from the service's own planner, which escapes what it writes. */
function picture(found) {
  const drawn = new DOMParser().parseFromString(found.svg, "image/svg+xml").documentElement;
  if (drawn.nodeName !== "svg") return null;
  const svg = document.importNode(drawn, true);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `The send over time. ${found.sentence} The table below has the figures.`);
  return make("figure", { class: "send-picture" }, svg);
}

function table(found) {
  const rows = Object.entries(found.recipients).map(([source, one]) => make("tr", {},
    make("th", { scope: "row" }, found.words[source]),
    make("td", { class: "number" }, count(one.count)),
    make("td", { class: "number" }, percent(one.share)),
  ));
  return make("table", {},
    make("caption", {}, "Recipients by the list that they get"),
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "List"),
      make("th", { scope: "col", class: "number" }, "Recipients"),
      make("th", { scope: "col", class: "number" }, "Share"))),
    make("tbody", {}, ...rows),
  );
}

const notes = (found) => (found.notes.length
  ? make("ul", { class: "hint" }, ...found.notes.map((note) => make("li", {}, note)))
  : null);

/* The lists before. */

let stopped = false;
let running = false;

/** The lines of a file in pieces that the service reads; each has the first line before it, which may be a header. */
async function* pieces(file) {
  const most = Number(byId("prewarm").dataset.most) / 2;
  const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader();
  let first = null;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += value ?? "";
    while (rest.length > most || (done && rest)) {
      const end = rest.length > most ? rest.lastIndexOf("\n", most) + 1 : rest.length;
      if (!end) throw new Error(`A line of the file is longer than ${most} characters.`);
      const piece = rest.slice(0, end);
      rest = rest.slice(end);
      yield first === null ? piece : `${first}\n${piece}`;
      first ??= piece.split("\n", 1)[0];
    }
    if (done) return;
  }
}

async function usersOf(file) {
  const users = new Set();
  const findings = new Set();
  for await (const text of pieces(file)) {
    if (stopped) break;
    const found = await post("send/users", { name: file.name, text });
    found.users.forEach((user) => users.add(user));
    found.findings.forEach((one) => findings.add(one));
    byId("fetched").textContent = `${count(users.size)} users read`;
  }
  fill(byId("findings"), ...[...findings].slice(0, 10).map((one) => make("li", {}, one)));
  return [...users];
}

async function fetchLists() {
  const file = byId("file").files[0];
  const waiting = await usersOf(file);
  if (!waiting.length) throw new Error("The file names no user.");
  const totals = { all: waiting.length, done: 0, fetched: 0, failed: 0 };
  let failures = 0;
  byId("progress").hidden = false;
  while (waiting.length && !stopped) {
    const users = waiting.splice(0, USERS_AT_A_TIME);
    const report = await post("send/prewarm", {
      user_ids: users,
      placement: byId("placement").value,
      seconds: SECONDS_AT_A_TIME,
      spare: numberIn("share") / 100,
    });
    const failed = Object.keys(report.failed).length;
    failures = report.fetched ? 0 : failures + failed;
    totals.fetched += report.fetched;
    totals.failed += failed;
    totals.done += report.fetched + report.kept;
    waiting.unshift(...report.left);
    byId("progress").value = (totals.done + totals.failed) / totals.all;
    byId("fetched").textContent = words(totals, report);
    if (failures >= MAX_FAILURES_IN_A_ROW) {
      throw new Error(`${failures} transactions in a row brought no list: ${[...new Set(Object.values(report.failed))].join(", ")}`);
    }
  }
  byId("fetched").textContent = `${stopped ? "Stopped" : "Done"}: ${words(totals)}`;
}

function words(totals, report) {
  const left = totals.all - totals.done - totals.failed;
  const at = report && left ? `, at most ${(report.tps * numberIn("share") / 100).toPrecision(3)} a second` : "";
  const failed = totals.failed ? `, ${count(totals.failed)} without one` : "";
  return `${count(totals.done)} of ${count(totals.all)} users have a list, ${count(totals.fetched)} fetched${failed}${at}`;
}

async function begin() {
  stopped = false;
  running = true;
  byId("stop").hidden = false;
  try {
    await during(byId("begin"), fetchLists);
  } finally {
    running = false;
    byId("stop").hidden = true;
    look();
  }
}

/* What is under way. */

async function look() {
  try {
    const state = await get("send/state");
    const lines = [state.prewarming ? "A prewarm is under way in this replica." : "No prewarm is under way in this replica."];
    for (const [placement, batch] of Object.entries(state.batches)) lines.push(`${placement}: ${batchWords(batch)}`);
    fill(byId("state"), ...lines.map((line) => make("li", {}, line)));
  } catch (error) {
    fill(byId("state"), make("li", { class: "problem" }, error.message));
  }
}

function batchWords(batch) {
  if (batch.problem) return batch.problem;
  const active = batch.loaded_at === null
    ? "no batch lists are active"
    : `${count(batch.lists)} batch lists, loaded ${ageOf(Date.now() / 1000 - batch.loaded_at)} ago`;
  return batch.loading === null ? active : `${active}; a load has brought ${count(batch.loading)} lists so far`;
}

byId("placement").addEventListener("change", chosenTps);
byId("plan").addEventListener("submit", (event) => {
  event.preventDefault();
  during(event.submitter, plan);
});
byId("fetch").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
byId("stop").addEventListener("click", () => {
  stopped = true;
  say("It stops after the lists that are being fetched.");
});
window.addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
byId("share").value = 100 * Number(byId("prewarm").dataset.spare);
chosenTps();
look();
setInterval(() => { if (!document.hidden) look(); }, STATE_MS);

// The page Operations.

import { ageOf, byId, during, fill, get, make, post, say } from "./console.js";
import { blockButton, contentCard, itemCell } from "./items.js";

const LOOK_MS = 10000;
// From the best answer to the worst; the names of the colours are classes.
const SOURCES = ["personalize", "cache", "stale", "batch", "popular", "unranked", "empty"];
const MEANS = {
  personalize: "live from Personalize", cache: "fresh list", stale: "older list", batch: "batch list",
  popular: "popular items", unranked: "order given", empty: "nothing",
};
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 140;

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const number = (value) => value.toLocaleString("en");

function drawAnswers(minutes) {
  const totals = Object.fromEntries(SOURCES.map((source) => [source, 0]));
  for (const minute of minutes) for (const source of SOURCES) totals[source] += minute.answers[source] ?? 0;
  const all = Object.values(totals).reduce((sum, count) => sum + count, 0);
  if (!all) {
    fill(byId("picture"));
    fill(byId("totals"), make("p", {}, "No answers yet."));
    return;
  }
  const now = Math.floor(Date.now() / 60000) * 60;
  const most = Math.max(...minutes.map((one) => Object.values(one.answers).reduce((sum, count) => sum + count, 0)));
  const step = WIDTH / 60;
  const bars = [];
  for (const minute of minutes) {
    const x = WIDTH - step * (1 + (now - minute.at) / 60);
    let y = HEIGHT;
    for (const source of SOURCES) {
      const height = ((minute.answers[source] ?? 0) / most) * (HEIGHT - 10);
      if (height > 0) {
        y -= height;
        bars.push(svg("rect", { class: `source-${source}`, x, y, width: step - 1, height }));
      }
    }
  }
  const words = `${number(all)} answers; at most ${number(most)} in a minute`;
  fill(byId("picture"), svg("svg", {
    class: "picture", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none", "aria-label": words,
  }, ...bars), make("p", { class: "hint" }, `${words}. The newest are on the right.`));
  fill(byId("totals"), make("table", {},
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "Source"),
      make("th", { scope: "col", class: "number" }, "Answers"),
      make("th", { scope: "col", class: "number" }, "Share"),
    )),
    make("tbody", {}, ...SOURCES.filter((source) => totals[source]).map((source) => make("tr", {},
      make("th", { scope: "row" }, make("span", { class: `key source-${source}` }), ` ${source} `,
        make("span", { class: "hint" }, MEANS[source])),
      make("td", { class: "number" }, number(totals[source])),
      make("td", { class: "number" }, `${((100 * totals[source]) / all).toFixed(1)} %`),
    ))),
  ));
}

const BREAKER = [["closed", "good"], ["half-open", "warn"], ["open", "bad"]];

function drawPlacements(placements) {
  fill(byId("placements"), make("ul", { class: "plain" }, ...placements.map((one) => {
    const [state, colour] = BREAKER[one.breaker] ?? ["unknown", "warn"];
    const could = one.tps * one.seconds;
    const share = could > 0 ? Math.min(100, Math.round((100 * one.spent) / could)) : 0;
    return make("li", {},
      make("strong", {}, one.name), " ", make("span", { class: "tag" }, one.kind),
      make("div", {}, `${one.tps.toFixed(1)} TPS; ${number(one.spent)} transactions in ${one.seconds} s`),
      make("label", { class: "meter" }, `budget used here: ${share} %`, make("progress", { max: "100", value: share })),
      make("div", { class: "hint" }, "breaker ", make("span", { class: colour }, state),
        ` · ${one.under_way} under way · ${one.waiting} stale lists wait`),
    );
  })));
}

function drawFigures(figures) {
  const place = byId("figures");
  const rows = [];
  const add = (name, value, colour = "") => rows.push(make("dt", {}, name), make("dd", { class: colour }, value));
  if (place.dataset.redis) {
    add("Redis", figures.redis_up ? `answers (${place.dataset.redis})` : "does not answer", figures.redis_up ? "good" : "bad");
  } else {
    add("Redis", "none: this replica shares with nobody");
  }
  if (place.dataset.events) {
    const waiting = figures.events_waiting ?? 0;
    add("Events that wait", waiting ? `${number(waiting)}, the oldest for ${ageOf(figures.events_oldest_seconds ?? 0)}` : "none");
  } else {
    add("Events", "none are taken (EVENT_KEYS is not set)");
  }
  const loaded = Date.now() / 1000 - figures.catalog_loaded_timestamp_seconds;
  add("Catalogue", `${number(figures.catalog_items)} items, loaded ${ageOf(Math.max(0, loaded))} ago`);
  if (figures.catalog_shrink_refused) add("Newest version", "refused: it lost too many items", "bad");
  else if (figures.catalog_refresh_failing) add("Newest version", "cannot be used; the log says why", "bad");
  add("Lists in memory", `${number(figures.cache_entries)}, ${(figures.cache_bytes / 2 ** 20).toFixed(1)} MB with answers`);
  fill(place, ...rows);
}

function listed(id, item, after) {
  return make("li", { class: "found" }, itemCell(item, id), blockButton(item ?? { name: id, blocked: true }, id, after));
}

function drawBlocked(blocked) {
  byId("blocked-count").textContent = blocked.count
    ? `${number(blocked.count)} ${blocked.count === 1 ? "item is" : "items are"} in no answer.` : "None.";
  fill(byId("blocked-items"), ...blocked.items.map((one) => listed(one.id, one.item, changed)));
}

async function look() {
  const found = await get("operations");
  byId("replica").textContent = found.replica;
  drawAnswers(found.minutes);
  drawPlacements(found.placements);
  drawFigures(found.figures);
}

const lookAtBlocked = async () => drawBlocked(await get("items/blocked"));

let searched = "";

async function find(text) {
  const found = await post("items/search", { text });
  searched = text;
  byId("found").textContent = found.items.length
    ? `${found.items.length} found${found.complete ? "" : `; there may be more, ${number(found.looked_at)} were looked at`}`
    : found.looked_at ? "No item has this in its id or name." : "No item has this id. Names cannot be searched in this catalogue.";
  fill(byId("items"), ...found.items.map((item) => make("li", {},
    make("div", { class: "found" }, itemCell(item, item.id), blockButton(item, item.id, changed)),
    make("details", {}, make("summary", {}, "How it looks, and what it has"),
      contentCard(item),
      make("dl", { class: "figures" }, ...Object.entries({ url: item.url, image: item.image, ...item.further })
        .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]))),
  )));
}

/** An item was blocked or shown again: both lists may hold it. */
async function changed() {
  await Promise.all([lookAtBlocked(), searched ? find(searched) : null]);
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  during(byId("find"), () => find(byId("text").value.trim()));
});

let looking = false;
let timer = null;
async function lookOn() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    await look();
  } catch (error) {
    say(error.message);
    // The login is over: a page that lies open asks no more.
    if (error.status === 401) clearInterval(timer);
  } finally {
    looking = false;
  }
}
timer = setInterval(lookOn, LOOK_MS);
lookOn();
during(null, lookAtBlocked);

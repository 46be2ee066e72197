// The page User.

import { ageOf, byId, during, fill, make, post, say } from "./console.js";
import { blockButton, contentCard, itemCell, mailRow, nameOf, push } from "./items.js";

const seen = new Set();
let shown = null; // What was asked for what is on the page.

function asked() {
  return {
    user_id: byId("user-id").value.trim(),
    placement: byId("placement").value,
    num_results: Number(byId("num-results").value) || 1,
    item_id: byId("item-id").value.trim(),
    item_ids: byId("item-ids").value.trim(),
  };
}

const kind = () => byId("placement").selectedOptions[0].dataset.kind;

function adaptFields() {
  byId("item-field").hidden = kind() !== "similar-items";
  byId("items-field").hidden = kind() !== "ranking";
}

async function look(query, fetch = false) {
  const found = await post("user", { ...query, fetch });
  shown = query;
  if (query.user_id && !seen.has(query.user_id)) {
    seen.add(query.user_id);
    byId("seen").append(make("option", { value: query.user_id }));
  }
  draw(found);
}

function draw(found) {
  const items = found.items_by_id;
  const places = found.items.filter((one) => one.place !== null).sort((a, b) => a.place - b.place);
  const gets = places.map((one) => items[one.id]).filter(Boolean);
  byId("hint").hidden = true;
  byId("result").hidden = false;
  byId("summary").textContent = found.summary;
  byId("fetched").textContent = found.fetched ?? "";
  drawTags(found);
  fill(byId("content-card"), contentCard(gets[0]));
  fill(byId("push"), push(gets));
  fill(byId("mail"), mailRow(gets));
  drawEvents(found, items);
  drawLists(found);
  drawItems(found, items, places);
  byId("sure").hidden = true;
  byId("forget").hidden = !shown.user_id;
}

function drawTags(found) {
  const call = found.next_call;
  const tags = [
    `source: ${call.source}`,
    call.reason ? `reason: ${call.reason}` : null,
    found.variant ? `variant: ${found.variant}` : null,
    found.placement !== shown.placement ? `answered by: ${found.placement}` : null,
  ];
  fill(byId("tags"), ...tags.filter(Boolean).map((text) => make("span", { class: "tag" }, text)));
}

function drawEvents(found, items) {
  const place = byId("events");
  if (!found.takes_events) {
    fill(place, make("p", { class: "hint" }, "No events are sent to this service (EVENT_KEYS is not set)."));
  } else if (!found.events) {
    fill(place, make("p", { class: "hint" }, "Their events cannot be looked up at this moment."));
  } else if (!found.events.length) {
    fill(place, make("p", { class: "hint" }, "Nothing is known of this user."));
  } else {
    fill(place, make("ol", { class: "events" }, ...found.events.slice(0, 50).map((one) => make("li", {},
      make("strong", {}, one.event_type), " ",
      one.item_id ? nameOf(items[one.item_id], one.item_id) : null, " ",
      make("span", { class: "hint" }, `${ageOf(Math.max(0, Date.now() / 1000 - one.at))} ago`),
      one.excludes ? make("span", { class: "tag" }, "kept out of answers") : null,
    ))));
  }
}

function drawLists(found) {
  const place = byId("lists");
  if (!found.lists.length) {
    fill(place, make("p", { class: "hint" }, "None."));
    return;
  }
  fill(place, make("ul", { class: "plain" }, ...found.lists.map((one) => make("li", {},
    make("strong", {}, one.source === "batch" ? "Batch list" : "List of Personalize"),
    ` of ${one.items} items, ${ageOf(one.age_seconds)} old, `,
    make("span", { class: one.fresh ? "good" : "warn" }, one.fresh ? "fresh" : "not fresh"),
    make("div", { class: "hint" }, `kept in ${one.kept_in}`, one.variant ? ` · variant ${one.variant}` : "",
      one.recommendation_id ? ` · ${one.recommendation_id}` : ""),
  ))));
}

function rowOf(one, items) {
  return make("tr", { role: "row", class: one.place === null ? "dropped" : "" },
    make("td", { role: "cell", class: "number" }, one.place === null ? "–" : String(one.place)),
    make("td", { role: "cell" }, itemCell(items[one.id], one.id)),
    make("td", { role: "cell", class: "why" }, one.place === null ? make("strong", {}, "Not shown: ") : null, one.why),
    make("td", { role: "cell" }, blockButton(items[one.id], one.id, () => look(shown))),
  );
}

function tableOf(caption, rows, items) {
  const head = (attributes, ...words) => make("th", { role: "columnheader", scope: "col", ...attributes }, ...words);
  // With roles of its own: where it is narrow, the sheet makes blocks of rows, and browsers forget the table.
  return make("div", { role: "group", "aria-label": caption }, make("table", { role: "table", class: "stacks" },
    make("caption", {}, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
      head({ class: "number" }, "Place"), head({}, "Item"), head({}, "Why"), head({}, make("span", { class: "sr" }, "Action")),
    )),
    make("tbody", { role: "rowgroup" }, ...rows.map((one) => rowOf(one, items))),
  ));
}

function drawItems(found, items, places) {
  const dropped = found.items.filter((one) => one.place === null && one.dropped_by !== "num_results");
  const beyond = found.items.filter((one) => one.dropped_by === "num_results");
  const because = found.because_of_item;
  fill(byId("items"),
    because ? make("p", {}, "Because of ", nameOf(items[because], because), ".") : null,
    places.length ? tableOf("Shown", places, items) : make("p", {}, "Nothing is shown."),
    dropped.length ? tableOf("Dropped by a rule", dropped, items) : null,
    beyond.length ? make("details", {}, make("summary", {}, `${beyond.length} more in the list, not asked for`),
      tableOf("Not asked for", beyond.slice(0, 50), items)) : null,
  );
}

byId("placement").addEventListener("change", adaptFields);
byId("look").addEventListener("submit", (event) => {
  event.preventDefault();
  during(byId("show"), () => look(asked()));
});
byId("fetch").addEventListener("click", () => during(byId("fetch"), () => look(shown, true)));
byId("forget").addEventListener("click", () => { byId("sure").hidden = false; byId("forget-now").focus(); });
byId("forget-not").addEventListener("click", () => { byId("sure").hidden = true; byId("forget").focus(); });
byId("forget-now").addEventListener("click", () => during(byId("forget-now"), async () => {
  await post("user/forget", { user_id: shown.user_id });
  byId("result").hidden = true;
  byId("user-id").focus();
  say("The user is forgotten, on every replica.");
}));
adaptFields();

// The page Template: an editor with lint in its margin, and what comes of a template for users and in hard cases.

import { byId, fill, make, post, safeUrl, say } from "./console.js";

const start = JSON.parse(byId("start").dataset.start);
const KEPT = "personalize-connect template";
const PAUSE_MS = 500;
const MAX_AGAIN = 5;
const FATES = {
  rendered: ["sent", "good"],
  blank: ["blank: Braze sends an empty message", "bad"],
  aborted: ["not sent", "warn"],
  failed: ["Braze cannot render it", "bad"],
  unrendered: ["not rendered", "bad"],
};

/** Texts by channel and part, as far as anybody has written them; they outlive a reload. */
const texts = kept();
const editors = new Map();
let asking = false;
let askAgain = false;
let timer;
let again = 0;

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(texts));
  } catch {
    // Where nothing can be kept, a reload begins anew.
  }
}

const channel = () => byId("channel").value;

const fields = () => start.fields[channel()];

const partId = (name) => `part-${name}`;

/** The number of each line, and a mark where lint has found something. */
function number(name, findings = []) {
  const { area, gutter } = editors.get(name);
  const worst = new Map();
  for (const one of findings) {
    const before = worst.get(one.line);
    worst.set(one.line, {
      severity: before?.severity === "error" ? "error" : one.severity,
      rules: before ? `${before.rules}, ${one.rule}` : one.rule,
    });
  }
  const count = area.value.split("\n").length;
  fill(gutter, ...Array.from({ length: count }, (_, index) => {
    const mark = worst.get(index + 1);
    return make("div", mark ? { class: mark.severity, title: mark.rules } : {}, `${mark ? "\u25cf " : ""}${index + 1}`);
  }));
  gutter.scrollTop = area.scrollTop;
}

/** Put the caret at the beginning of a line. */
function goTo(name, line) {
  const { area } = editors.get(name);
  const at = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(at, at);
}

function finding(name, one) {
  return make("li", { class: one.severity },
    make("button", {
      type: "button", class: "quiet", "aria-label": `Go to line ${one.line}`, onclick: () => goTo(name, one.line),
    }, `Line ${one.line}`),
    ` ${one.severity} `,
    make("code", {}, one.rule),
    make("p", {}, one.what),
    make("p", { class: "hint" }, one.happens),
    make("p", {}, one.remedy),
  );
}

async function copy(name) {
  const { area } = editors.get(name);
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    // Without HTTPS there is no clipboard to write to.
    area.select();
    document.execCommand("copy");
  }
  say(`Copied. Paste it into the field ${name} in Braze.`);
}

function editor(name) {
  const gutter = make("div", { class: "gutter", "aria-hidden": "true" });
  const area = make("textarea", {
    id: partId(name), rows: fields().length > 1 ? 5 : 14, wrap: "off", spellcheck: "false", autocapitalize: "off",
    "aria-describedby": `findings-${name}`,
  });
  const findings = make("ol", { class: "findings", id: `findings-${name}`, "aria-label": `What lint finds in ${name}` });
  area.value = texts[channel()]?.[name] ?? "";
  editors.set(name, { area, gutter, findings });
  area.addEventListener("input", () => {
    (texts[channel()] ??= {})[name] = area.value;
    keep();
    number(name);
    soon();
  });
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  return make("div", { class: "part" },
    make("div", { class: "part-head" },
      make("label", { for: partId(name) }, name[0].toUpperCase() + name.slice(1)),
      make("button", { type: "button", class: "quiet small", "aria-label": `Copy for Braze: ${name}`, onclick: () => copy(name) },
        "Copy for Braze"),
    ),
    make("div", { class: "editor" }, gutter, area),
    findings,
  );
}

function buildFields() {
  editors.clear();
  fill(byId("fields"), ...fields().map(editor));
  fields().forEach((name) => number(name));
  const fitting = start.starters.map((one, index) => [one, index]).filter(([one]) => one.channel === channel());
  fill(byId("starter"), ...fitting.map(([one, index]) => make("option", { value: index }, one.name)));
}

/** A starter with the address and the credential of this page. */
function useStarter() {
  const starter = start.starters[byId("starter").value];
  if (!starter) return;
  const address = byId("address").value.trim().replace(/\/+$/, "") || start.address;
  const credential = byId("credential").value.trim() || "recommendations";
  const own = (text) => text.replaceAll(start.address, address)
    .replaceAll(/ :(basic_auth|auth_credentials) recommendations/g, (_, option) => ` :${option} ${credential}`);
  texts[channel()] = Object.fromEntries(fields().map((name) => [name, own(starter.parts[name] ?? "")]));
  keep();
  buildFields();
  look();
}

function values() {
  const lines = byId("values").value.split("\n").map((line) => line.trim()).filter((line) => line.includes("="));
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }));
}

function wanted() {
  const users = byId("users").value.split(",").map((one) => one.trim());
  return {
    channel: channel(),
    parts: Object.fromEntries(fields().map((name) => [name, editors.get(name).area.value])),
    users: [...new Set(users)].slice(0, start.maxUsers),
    cases: [...document.querySelectorAll("input[name=case]:checked")].map((box) => box.value),
    values: values(),
  };
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(look, PAUSE_MS);
}

/** Ask the service; one answer at a time, and once more if something was written meanwhile. */
async function look() {
  clearTimeout(timer);
  if (asking) {
    askAgain = true;
    return;
  }
  const question = wanted();
  if (!Object.values(question.parts).some((text) => text.trim())) {
    fill(byId("shown"));
    byId("verdict").textContent = "Write a template, or start from one.";
    return;
  }
  asking = true;
  try {
    const answer = await post("template", question);
    if (question.channel === channel()) draw(question, answer);
    const fates = answer.shown.flatMap((one) => one.parts.map((part) => part.fate));
    // A busy machine, not a slow template: what was fetched is kept, so that the next preview shows more.
    again = fates.includes("unrendered") && !fates.includes("failed") && again < MAX_AGAIN ? again + 1 : 0;
    if (again) soon();
  } catch (error) {
    byId("verdict").textContent = error.message;
  } finally {
    asking = false;
    if (askAgain) {
      askAgain = false;
      look();
    }
  }
}

function draw(question, answer) {
  for (const name of fields()) {
    const found = answer.findings.filter((one) => one.file === name);
    number(name, found);
    fill(editors.get(name).findings, ...found.map((one) => finding(name, one)));
  }
  const errors = answer.findings.filter((one) => one.severity === "error").length;
  const good = answer.shown.filter((one) => one.parts.every((part) => part.fate === "rendered" || isOptional(part))).length;
  if (answer.problem) {
    byId("verdict").textContent = `Braze could not send it: ${answer.problem}`;
    fill(byId("shown"));
    return;
  }
  const lint = (errors ? `${errors} ${errors === 1 ? "error" : "errors"} found` : "No error found");
  byId("verdict").textContent = `${lint}. ${good} of ${answer.shown.length} messages would be sent.`;
  fill(byId("shown"), ...answer.shown.map((one) => messageCard(question.channel, one)));
}

/** A part that may be blank without a harm to the message. */
const isOptional = (part) => part.fate === "blank" && ["description", "image", "link"].includes(part.name);

function messageCard(channelName, one) {
  const box = document.querySelector(`input[name=case][value="${CSS.escape(one.subject.case)}"]`);
  const heading = box ? box.dataset.shows : one.subject.user_id || "no user id";
  const bad = one.parts.filter((part) => part.fate !== "rendered" && !isOptional(part));
  const [words, kind] = FATES[bad[0]?.fate ?? "rendered"];
  return make("article", { class: "message-card", "data-user": one.subject.user_id, "data-case": one.subject.case },
    make("h3", {}, heading, " ", make("span", { class: `tag ${kind}` }, words)),
    ...bad.map(whyNot),
    bad.length ? null : asMessage(channelName, one),
    about(one),
  );
}

function whyNot(part) {
  const where = part.line ? `, line ${part.line}` : "";
  return part.why ? make("p", { class: "hint" }, `${part.name}${where}: ${part.why}`) : null;
}

function asMessage(channelName, one) {
  const text = Object.fromEntries(one.parts.map((part) => [part.name, part.text.trim()]));
  if (channelName === "email") {
    return make("iframe", { sandbox: true, title: `E-mail for ${one.subject.user_id || "no user id"}`, srcdoc: text.body });
  }
  const link = text.link ? make("p", { class: "hint" }, text.link) : null;
  if (channelName === "push") {
    return make("div", { class: "channel-push" },
      make("div", {}, make("strong", {}, text.title), make("p", {}, text.body), link),
      picture(text.image));
  }
  return make("div", { class: "channel-card" },
    picture(text.image),
    make("div", {}, make("strong", {}, text.title), make("p", {}, text.description), link));
}

function picture(address) {
  if (!address) return null;
  const none = () => make("span", { class: "no-picture" }, "no picture");
  if (!safeUrl(address)) return none();
  const image = make("img", { src: address, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(none()));
  return image;
}

/** Calls and flaws of a message. */
function about(one) {
  const seen = new Set();
  const lines = [];
  for (const part of one.parts) {
    for (const call of part.calls) {
      if (seen.has(call.url)) continue;
      seen.add(call.url);
      const from = call.source ? `${call.source}${call.reason ? ` (${call.reason})` : ""}` : call.problem;
      lines.push(make("li", {}, `Call: ${call.status}${from ? `, ${from}` : ""}`));
    }
    lines.push(...part.flaws.map((flaw) => make("li", { class: "warn" }, flaw)));
    if (part.is_cut) lines.push(make("li", {}, "The message goes on; this is its beginning."));
  }
  return lines.length ? make("ul", { class: "hint" }, ...lines) : null;
}

byId("address").value = window.location.protocol === "https:" ? window.location.origin + start.root_path : start.address;
byId("credential").value = "recommendations";
byId("channel").addEventListener("change", () => {
  buildFields();
  look();
});
byId("use").addEventListener("click", useStarter);
byId("show").addEventListener("click", look);
byId("users").addEventListener("input", soon);
byId("values").addEventListener("input", soon);
for (const box of document.querySelectorAll("input[name=case]")) box.addEventListener("change", soon);
buildFields();
if (texts[channel()]) look();
else useStarter();

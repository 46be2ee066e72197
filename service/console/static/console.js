// What every page uses: asking the service, making elements, and saying what came of it.

const said = (name) => document.querySelector(`meta[name="${name}"]`).content;

export const root = said("console-root");

/** The JSON that the service answers; throws an Error whose message is for the reader. */
async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") {
    headers["X-Console-Token"] = said("console-token");
    headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`${root}/api/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Error("The service does not answer.");
  }
  let found = {};
  try {
    found = await answer.json();
  } catch {
    // No JSON: the status says enough.
  }
  if (!answer.ok) {
    const field = found.field ? `${found.field}: ` : "";
    const problem = new Error(`${field}${found.message ?? `The service answers ${answer.status}.`}`);
    problem.status = answer.status;
    throw problem;
  }
  return found;
}

export const get = (path) => ask("GET", path);

export const post = (path, body = {}) => ask("POST", path, body);

/**
 * An element. Text is set as text, so nothing in it is ever HTML.
 * make("p", { class: "hint" }, "text", otherElement, null)
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") {
      element.addEventListener("click", value);
    } else if (key === "href" || key === "src") {
      const safe = safeUrl(value);
      if (safe) element.setAttribute(key, safe);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The address if a click or a picture may lead there, else null: `javascript:` and its like do nothing. */
export function safeUrl(text) {
  try {
    const url = new URL(text, window.location.href);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** Put these into an element in the place of what it holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export const byId = (id) => document.getElementById(id);

let saying;

/** Say something at the page's foot, to the eye and to screen readers. */
export function say(text) {
  const place = byId("message");
  clearTimeout(saying);
  place.textContent = text;
  saying = setTimeout(() => { place.textContent = ""; }, 8000);
}

/** Run what a button does: it is disabled meanwhile, and an error is said. */
export async function during(button, work) {
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}

/** Seconds as people say them: "12 s", "3 min", "5 h", "2 days". */
export function ageOf(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const priceOf = (price) => (typeof price === "number" ? price.toFixed(2) : "");

// Items as people see them: pictures that may be missing, links that may be hostile, names that may be anything.

import { during, make, post, priceOf, safeUrl, say } from "./console.js";

/** The item's picture, or a box that says that there is none. */
export function picture(item, className = "thumb") {
  const none = () => make("span", { class: `${className} none`, role: "img", "aria-label": "no picture" }, "no picture");
  if (!item || !safeUrl(item.image)) return none();
  const image = make("img", { class: className, src: item.image, alt: item.name, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(none()));
  return image;
}

/** The item's name, as a link where it has a page. */
export function nameOf(item, id) {
  const text = item ? item.name : id;
  return item && safeUrl(item.url)
    ? make("a", { href: item.url, target: "_blank", rel: "noopener noreferrer" }, text)
    : make("span", {}, text);
}

/** Name, id and price beside the picture. */
export function itemCell(item, id) {
  return make("div", { class: "item" },
    picture(item),
    make("div", {},
      nameOf(item, id),
      make("div", { class: "hint" }, id, item ? ` · ${priceOf(item.price)}` : " · not in the catalogue"),
      item?.blocked ? make("span", { class: "tag bad" }, "blocked") : null,
      item?.excluded ? make("span", { class: "tag warn" }, "excluded") : null,
    ),
  );
}

/** A button that blocks an item or shows it again; `after` is called when it is done. */
export function blockButton(item, id, after) {
  const blocked = Boolean(item?.blocked);
  const words = blocked ? "Show again" : "Block";
  const button = make("button", {
    type: "button",
    class: blocked ? "small quiet" : "small danger",
    "aria-label": `${words}: ${item ? item.name : id}`,
    onclick: () => during(button, async () => {
      await post(blocked ? "items/unblock" : "items/block", { item_id: id });
      say(blocked ? "The item may be shown again." : "The item is in no answer from now on, on every replica.");
      await after();
    }),
  }, words);
  return button;
}

export function contentCard(item) {
  if (!item) return make("p", { class: "hint" }, "No item, so no card.");
  return make("article", { class: "look-card" },
    picture(item, "wide-picture"),
    make("div", { class: "look-text" },
      make("strong", {}, "Picked for you"),
      make("p", {}, `${item.name}, ${priceOf(item.price)}`),
      safeUrl(item.url) ? make("a", { href: item.url, target: "_blank", rel: "noopener noreferrer" }, "See it") : null,
    ),
  );
}

export function push(items) {
  if (!items.length) return make("p", { class: "hint" }, "No item, so no push.");
  const [first, ...others] = items;
  return make("article", { class: "look-push" },
    make("div", {},
      make("strong", {}, first.name),
      make("p", {}, `${priceOf(first.price)}${others.length ? `, and ${others.length} more picked for you` : ""}`),
    ),
    picture(first, "push-picture"),
  );
}

export function mailRow(items) {
  if (!items.length) return make("p", { class: "hint" }, "No item, so no row.");
  return make("ul", { class: "look-mail" },
    ...items.map((item) => make("li", {},
      picture(item, "wide-picture"),
      nameOf(item, item.id),
      make("span", {}, priceOf(item.price)),
    )),
  );
}

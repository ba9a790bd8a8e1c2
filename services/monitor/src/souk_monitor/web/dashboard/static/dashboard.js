// What the dashboard does beyond plain pages: it keeps itself up to date, and it can be worked by keys.
// Pages work without it; every action is a form, and this only sends forms.

const root = document.documentElement;
const body = document.body;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const notice = one("#notice");
root.classList.add("scripts");

// Dark and light

const dark = matchMedia("(prefers-color-scheme: dark)");
one(".theme")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  document.cookie = `souk_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
});

// Times, as long ago as they are

const UNITS = [[31536000, "y"], [2592000, "mo"], [86400, "d"], [3600, "h"], [60, "m"]];
const ago = (seconds) => {
  const unit = UNITS.find(([size]) => seconds >= size);
  return unit ? `${Math.floor(seconds / unit[0])}${unit[1]}` : "now";
};
setInterval(() => {
  for (const time of all("time[title]")) {
    const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}, 15000);

// A part of a page made like another, with what is chosen, open or written in it left as it is

const keyOf = (node) => node.nodeType === 1 ? node.dataset.key || node.id || "" : "";

function alike(node, other) {
  return node.nodeType === other.nodeType && node.nodeName === other.nodeName && keyOf(node) === keyOf(other);
}

function become(node, other) {
  if (node.nodeType !== 1) {
    if (node.nodeValue !== other.nodeValue) node.nodeValue = other.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!other.hasAttribute(name) && name !== "open" && name !== "class") node.removeAttribute(name);
  }
  for (const { name, value } of other.attributes) {
    if (name === "open" || node.getAttribute(name) === value) continue;
    if (name !== "class") node.setAttribute(name, value);
    else node.className = [value, ...["current", "fresh"].filter((kept) => node.classList.contains(kept))].join(" ");
  }
  if (node.nodeName !== "TEXTAREA") becomeWithin(node, other);
}

function becomeWithin(node, other) {
  const keyed = new Map([...node.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = node.firstChild;
  for (const wanted of [...other.childNodes]) {
    const known = keyOf(wanted) && keyed.get(keyOf(wanted));
    const found = known && alike(known, wanted) ? known : place && !keyOf(place) && alike(place, wanted) ? place : null;
    if (!found) {
      node.insertBefore(wanted, place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else node.insertBefore(found, place);
    become(found, wanted);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// Live

const light = one(".live");
const PACE = Number(body.dataset.pace || 700);
const DELAY = Number(body.dataset.delay || 0); // what a server may have kept, it has made anew by then
let stream = null;
let asked = 0;
let due = null;
let asking = false;
let again = false;

function say(state, word) {
  if (!light || light.dataset.state === state) return;
  light.dataset.state = state;
  one(".word", light).textContent = word;
}

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  asked = Date.now();
  try {
    const response = await fetch(body.dataset.self || location.href, { headers: { accept: "text/html" } });
    if (response.ok && !response.redirected) {
      take(new DOMParser().parseFromString(await response.text(), "text/html"));
      if (stream?.readyState === EventSource.OPEN) say("on", "live");
    }
  } catch {
    say("off", "not live");
  } finally {
    asking = false;
  }
  if (again) soon();
}

function soon() {
  if (due) return;
  due = setTimeout(() => {
    due = null;
    refresh();
  }, Math.max(DELAY, asked + PACE - Date.now()));
}

function take(page) {
  const before = new Map(all("#rows > .row").map((row) => [row.dataset.key, Number(row.dataset.events)]));
  const watched = before.size > 0 || one("#rows");
  for (const part of all("[data-live-part]")) {
    const other = page.getElementById(part.id);
    if (other) become(part, other);
  }
  if (watched) tell(before);
  select(current());
  count();
}

function tell(before) {
  const fresh = all("#rows > .row").filter((row) => !before.has(row.dataset.key));
  for (const row of fresh) {
    row.classList.add("fresh");
    setTimeout(() => row.classList.remove("fresh"), 4000);
  }
  if (fresh.length === 1) notice.textContent = `New in the list: ${one(".title", fresh[0]).textContent.trim()}`;
  else if (fresh.length) notice.textContent = `${fresh.length} issues are new in the list`;
}

function open() {
  if (stream || !body.dataset.live || document.hidden) return;
  stream = new EventSource(body.dataset.live);
  let opened = 0;
  stream.addEventListener("open", () => {
    if (opened++ > 0 || wasShut || DELAY) soon();
    else refresh();
  });
  stream.addEventListener("change", (event) => {
    const { issues } = JSON.parse(event.data);
    if (!body.dataset.issue || body.dataset.issue in issues) soon();
  });
  stream.addEventListener("error", () => {
    say("off", "not live");
    if (stream?.readyState === EventSource.CLOSED) {
      shut();
      setTimeout(open, 10000);
    }
  });
}

let wasShut = false;
function shut() {
  stream?.close();
  stream = null;
  wasShut = true;
  say("off", "not live");
}
// browsers have few connections to one site: a page that nobody sees gives its own back
document.addEventListener("visibilitychange", () => document.hidden ? shut() : open());
addEventListener("pagehide", shut);
addEventListener("pageshow", open);

// The chosen issues, and the current one

const rows = () => all("#rows > .row");
const current = () => one("#rows > .row.current");

function select(row) {
  for (const each of all("#rows > .row.current")) if (each !== row) each.classList.remove("current");
  if (!row) return;
  row.classList.add("current");
}

function step(by) {
  const list = rows();
  if (!list.length) return;
  const at = list.indexOf(current());
  const row = list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + by))];
  select(row);
  one(".title", row).focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function count() {
  const boxes = all("#rows input[name=issue]");
  const chosen = boxes.filter((box) => box.checked).length;
  const label = one("#how-many");
  if (!label) return;
  label.textContent = chosen ? `${chosen} chosen` : "none chosen";
  one("#all").checked = chosen > 0 && chosen === boxes.length;
  one("#all").indeterminate = chosen > 0 && chosen < boxes.length;
}
one("#rows")?.addEventListener("change", count);
one("#rows")?.addEventListener("focusin", (event) => select(event.target.closest(".row")));
one("#all")?.addEventListener("change", (event) => {
  for (const box of all("#rows input[name=issue]")) box.checked = event.target.checked;
  count();
});

// Forms

// what the mouse chooses is sent at once; of what arrows go through, that at which Enter is pressed
let steps = false;
for (const field of all(".choices select, [data-submits]")) {
  field.addEventListener("pointerdown", () => { steps = false; });
  field.addEventListener("keydown", (event) => {
    steps = !event.altKey && event.key !== " ";
    if (event.key !== "Enter") return;
    event.preventDefault();
    field.form.requestSubmit();
  });
  field.addEventListener("change", () => steps || field.form.requestSubmit());
}
one("#menu-resolve input[name=release]")?.addEventListener("input", () => {
  one("#menu-resolve input[value=this]").checked = true;
});
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  for (const menu of all(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
for (const menu of all(".menu")) menu.addEventListener("toggle", () => {
  if (menu.open) one("input:not([type=hidden]), select", menu)?.focus();
});

function act(action) {
  const issue = one("#acts");
  if (issue) {
    one(`button[value=${action}]`, issue)?.click();
    return;
  }
  const list = one("#chosen");
  if (!list || !one(".bulk", list)) return;
  const boxes = all("input[name=issue]", list);
  if (!boxes.some((box) => box.checked)) {
    const box = current() && one("input[name=issue]", current());
    if (!box) {
      notice.textContent = "Choose an issue first: j and k.";
      return;
    }
    box.checked = true;
  }
  one(`.bulk button[value=${action}]`, list)?.click();
}

function menu(id) {
  const found = one(id);
  if (found) found.open = !found.open;
  return found;
}

// Keys

const dialog = one("#keys");
const keysOn = one("#keys-on");
if (keysOn) keysOn.checked = localStorage.getItem("souk-keys") !== "off";
keysOn?.addEventListener("change", () => localStorage.setItem("souk-keys", keysOn.checked ? "on" : "off"));
one("[data-help]")?.addEventListener("click", () => dialog.showModal());

const follow = (selector) => one(selector)?.click();
const KEYS = {
  j: () => one("#rows") ? step(1) : follow(".event-head a[rel=next]"),
  k: () => one("#rows") ? step(-1) : follow(".event-head a[rel=prev]"),
  n: () => follow(".pages a[rel=next]"),
  p: () => follow(".pages a[rel=prev]"),
  P: () => follow(".pages a[data-first]"),
  x: () => current() && one("input[name=issue]", current())?.click(),
  a: () => act("acknowledge"),
  r: () => act("resolve"),
  i: () => act("ignore"),
  e: () => act("reopen"),
  m: () => one("#acts") ? menu("#menu-merge") : act("merge"),
  R: () => menu("#menu-resolve"),
  I: () => menu("#menu-ignore"),
  s: () => one("#assignee")?.select(),
  c: () => one("#comment")?.focus(),
  w: () => follow("#grouping"),
  u: () => follow(one("[data-up]") ? "[data-up]" : "nav a[data-go=i]"),
  "/": () => one("#q")?.select(),
  "?": () => dialog?.showModal(),
};

let going = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const writes = event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea");
  if (event.key === "Escape") {
    for (const each of all(".menu[open]")) {
      each.open = false;
      one("summary", each).focus();
    }
    if (writes) writes.blur();
    return;
  }
  if (writes || dialog?.open || (keysOn && !keysOn.checked && event.key !== "?")) return;
  if (event.key === "Enter" && event.target === body && current()) {
    one(".title", current()).click();
    return;
  }
  if (Date.now() - going < 1500) {
    going = 0;
    const link = one(`nav a[data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
      return;
    }
  }
  if (event.key === "g") {
    going = Date.now();
    return;
  }
  const does = KEYS[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

// What was done is said once: not again when the page is loaded again

const here = new URL(location.href);
if (here.searchParams.has("did")) {
  here.searchParams.delete("did");
  history.replaceState(history.state, "", here);
}
open();

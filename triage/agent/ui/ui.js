/* The page: shows the view that reduce.js makes of what listen.js hears, and sends what people do. */

import { listen } from "./listen.js";
import { nothing, reduce } from "./reduce.js";
import { speaker } from "./speak.js";

const $ = (id) => document.getElementById(id);
const say = speaker($("log"));
const STATES = {
  empty: "",
  working: "We are working on it.",
  waiting: "Somebody at Larch has to approve this. You may close the page and come back.",
  writing: "The answer is being written.",
  answered: "Answered.",
  cancelled: "Cancelled.",
  failed: "What was done stands above. The answer could not be written.",
  outdated: "This page is older than the desk. Load it again.",
};
const LINES = {
  open: "Connected.",
  lost: "Connection lost. Trying again; nothing is lost.",
  refused: "There is no such conversation, or it is not yours.",
};
const TOOLS = {
  planner: "Read your message",
  look_up: "Look the order up",
  hold: "Keep the parcel here",
  reviewer: "Check the refund",
  refund: "Pay the order back",
  release: "Let the parcel go",
  hand_over: "Hand over to a person",
};
const euros = (cents) =>
  new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }).format(cents / 100);

let scripted = false, hangUp = () => {};

/* What people do */

async function send(method, address, body) {
  const answer = await fetch(address, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  if (answer.status === 401 && address !== "session") showEnter();
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const why = typeof said?.detail === "string" ? said.detail : "That did not work.";
    throw new Error(why);
  }
  return said;
}

/** Runs `act`, and says in words near the form what went wrong. */
async function trying(error, act) {
  error.textContent = "";
  try {
    await act();
  } catch (failure) {
    const offline = failure instanceof TypeError; // fetch says so when nobody answers
    error.textContent = offline
      ? "We could not be reached. Nothing is lost: try again."
      : failure.message;
  }
}

$("enter-form").addEventListener("submit", (event) => {
  event.preventDefault();
  trying($("enter-error"), async () => {
    await send("POST", "session", { token: $("token").value });
    $("token").value = "";
    await start();
  });
});

// region ask
/** The id of the ticket in the form: kept until it has been sent, however often that takes. */
function draftId() {
  const id = sessionStorage.getItem("draft-id") ?? crypto.randomUUID();
  sessionStorage.setItem("draft-id", id);
  return id;
}

$("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  trying($("ask-error"), async () => {
    const ticket = { id: draftId(), text: $("text").value };
    const { thread } = await send("POST", "threads", ticket);
    sessionStorage.removeItem("draft-id");
    sessionStorage.removeItem("draft");
    history.pushState(null, "", `?thread=${thread}`); // so that a reload finds it
    showThread(thread);
    $("thread-title").focus();
  });
});
// endregion ask

$("text").addEventListener("input", () => {
  sessionStorage.setItem("draft", $("text").value);
  sessionStorage.removeItem("draft-id"); // another text is another ticket
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    $("ask-form").requestSubmit();
  }
});
$("leave").addEventListener("click", async () => {
  await send("DELETE", "session").catch(() => {});
  history.pushState(null, "", location.pathname);
  showEnter();
});
$("another").addEventListener("click", () => {
  history.pushState(null, "", location.pathname);
  showAsk();
});
addEventListener("popstate", () => start());

/* What is shown */

function only(section) {
  hangUp();
  hangUp = () => {};
  for (const each of document.querySelectorAll("main > section")) {
    each.hidden = each.id !== section;
  }
  document.title = `Larch: ${$(`${section}-title`).textContent}`;
  put($("state"), "");
  put($("line"), "");
}

/** Text, and only if it has changed: a live region speaks whatever is put into it. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
  if (element.classList.contains("outcome") || element.id === "trouble") {
    element.hidden = !text;
  }
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text; // never as HTML: it may be a model's, or a customer's
  made.className = className;
  return made;
}

function showEnter() {
  only("enter");
  $("leave").hidden = true;
  put($("who"), "");
  $("token").focus();
}

function showAsk() {
  only("ask");
  $("text").value = sessionStorage.getItem("draft") ?? "";
  $("text").focus();
}

// region thread
function showThread(thread) {
  only("thread");
  let view = nothing();
  draw(view);
  const path = `threads/${encodeURIComponent(thread)}`;
  $("cancel").onclick = () => trying($("trouble"), () => send("POST", `${path}/cancel`));
  hangUp = listen(`${path}/events`, {
    told(event) {
      view = reduce(view, event);
      draw(view);
      say.sentences(view.reply, view.attempts);
      if (event.type === "tool_ended") say.at(`Done: ${named(view, event.call)}.`);
      if (event.type === "error") say.at(event.message);
      if (event.type !== "done") return;
      say.rest();
      hangUp(); // or EventSource would ask again, for ever
      put($("line"), "");
      document.body.dataset.live = "false";
    },
    live(news) {
      say.live(news);
      document.body.dataset.live = news;
    },
    line,
  });
}
// endregion thread

function line(state, status) {
  if (status === 401) return showEnter();
  put($("line"), LINES[state]);
}

const named = (view, call) => {
  const step = view.steps.find((each) => each.call === call);
  return step ? `${TOOLS[step.tool] ?? step.tool}, ${saidOf(step)}` : "a step";
};

const OVER = ["answered", "cancelled", "failed", "outdated"];

/** The page from the view alone, so that a reload and a replay give the same page. */
function draw(view) {
  put($("ticket"), view.ticket);
  put($("state"), STATES[view.state] ?? "");
  put($("outcome"), view.outcome && `What was done: ${view.outcome}.`);
  put($("trouble"), view.trouble);
  put($("reply"), view.reply);
  $("reply").setAttribute("aria-busy", String(view.state === "writing"));
  $("scripted").hidden = !scripted || !view.attempts;
  const over = OVER.includes(view.state), focused = document.activeElement;
  $("cancel").hidden = over;
  $("another").hidden = !over;
  if (over && focused === $("cancel")) $("another").focus(); // not lost with its button
  const steps = [...view.steps, ...view.approvals].sort((a, b) => a.call - b.call);
  $("steps").replaceChildren(...steps.map(stepItem));
}

function stepItem(step) {
  const said = step.tool ? saidOf(step) : step.answer; // without a tool: an approval
  const name = step.tool ? (TOOLS[step.tool] ?? step.tool) : "Ask a person";
  const item = element("li", "", said ? "ended" : "begun");
  const now = step.tool ? "under way" : "waiting";
  item.append(element("span", name), element("span", said || now, "said"));
  return item;
}

function saidOf({ tool, said }) {
  const words = (name) => (TOOLS[name] ?? name).toLowerCase();
  return tool === "planner" ? said.split(", ").map(words).join(", ") : said;
}

/* Those who approve */

let chosen = null, opener = null;

// region approvals
function showDesk() {
  only("desk");
  let view = nothing();
  drawDesk(view);
  hangUp = listen("approvals/events", {
    told(event) {
      view = reduce(view, event);
      drawDesk(view);
      if (event.type === "approval_wanted") say.at(`To decide: ${what(event)}.`);
    },
    live(news) {
      say.live(news);
      document.body.dataset.live = news;
    },
    line,
  });
}

const what = ({ order, cents }) => `order ${order}, ${euros(cents)}`;
const ANSWERS = { given: "paid back", denied: "not paid back" };

function drawDesk(view) {
  const at = document.activeElement?.dataset?.thread;
  const open = view.approvals.filter((each) => !each.answer);
  const answered = view.approvals.filter((each) => each.answer);
  $("none").hidden = open.length > 0;
  $("wanted").replaceChildren(...open.map(askItem));
  $("decided").replaceChildren(
    ...answered.map((each) => element("li", `${what(each)}: ${ANSWERS[each.answer]}`)),
  );
  const again = at && document.querySelector(`[data-thread="${CSS.escape(at)}"]`);
  again?.focus(); // the list is new, who was on it is where they were
}

function askItem(asked) {
  const item = element("li", "");
  const button = element("button", `Decide about ${what(asked)}`);
  button.type = "button";
  button.dataset.thread = asked.thread;
  button.addEventListener("click", () => {
    chosen = asked;
    put($("approval-what"), `Order ${asked.order} cost ${euros(asked.cents)}.`);
    put($("approval-text"), asked.text);
    put($("approval-error"), "");
    $("approval").showModal(); // keeps the focus inside, Escape closes it
  });
  item.append(button);
  return item;
}

function decide(granted) {
  trying($("approval-error"), async () => {
    const path = `threads/${encodeURIComponent(chosen.thread)}/approval`;
    const answer = await send("POST", path, { granted });
    $("approval").close();
    say.at(answer.granted ? "It is paid back." : "It is not paid back.");
  });
}
// endregion approvals

$("grant").addEventListener("click", () => decide(true));
$("deny").addEventListener("click", () => decide(false));
$("close").addEventListener("click", () => $("approval").close());
$("approval").addEventListener("close", () => {
  const button = document.querySelector(`[data-thread="${CSS.escape(chosen.thread)}"]`);
  (button ?? $("main")).focus();
});

/* Begin */

async function start() {
  try {
    const person = await send("GET", "me");
    scripted = person.scripted;
    put($("who"), `${person.name}, ${person.role}`);
    $("leave").hidden = false;
    const thread = new URLSearchParams(location.search).get("thread");
    if (person.role === "approver") showDesk();
    else if (thread) showThread(thread);
    else showAsk();
  } catch (failure) {
    if (failure instanceof TypeError) {
      put($("line"), LINES.lost);
      setTimeout(start, 2000);
    }
  }
}

start();

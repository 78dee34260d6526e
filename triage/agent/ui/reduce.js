/* Events to view: triage/agent/events.py once more. A test holds the two against each other. */

export const VERSION = 1;

export const nothing = () => ({
  state: "empty",
  ticket: "",
  steps: [],
  approvals: [],
  outcome: "",
  reply: "",
  attempts: 0,
  trouble: "",
});

// region reduce
/** The view after one more event. It changes nothing and asks nobody. */
export function reduce(view, event) {
  if (event.v !== VERSION) return { ...view, state: "outdated" };
  switch (event.type) {
    case "received":
      return { ...view, state: "working", ticket: event.text };
    case "tool_begun": {
      const step = { call: event.call, tool: event.tool, said: "" };
      return { ...view, state: "working", steps: [...view.steps, step] };
    }
    case "tool_ended": {
      const ended = (step) =>
        step.call === event.call ? { ...step, said: event.said } : step;
      return { ...view, steps: view.steps.map(ended), trouble: "" };
    }
    case "approval_wanted": {
      const { call, thread, order, cents, text } = event;
      const asked = { call, thread, order, cents, text, answer: "" };
      return { ...view, state: "waiting", approvals: [...view.approvals, asked] };
    }
    case "approval_given":
    case "approval_denied": {
      const answer = event.type.slice("approval_".length);
      const answered = (each) =>
        each.thread === event.thread ? { ...each, answer } : each;
      return { ...view, state: "working", approvals: view.approvals.map(answered) };
    }
    case "outcome":
      return { ...view, outcome: event.said };
    case "reply_begun":
      return { ...view, state: "writing", reply: "", attempts: event.attempt };
    case "token":
      return { ...view, reply: view.reply + event.text };
    case "error":
      return { ...view, trouble: event.message };
    case "done":
      return { ...view, state: event.how };
    default:
      return view; // of a type that came after this page
  }
}
// endregion reduce

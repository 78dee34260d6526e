/* Server-sent events that survive what EventSource alone does not. */

const SILENCE = 30_000; // three signs of life that did not come
const FIRST = 500; // milliseconds to the first attempt, then twice as long each time
const LONGEST = 15_000;
const REFUSED = [401, 403, 404]; // asking again does not help

async function statusOf(address) {
  const stop = new AbortController();
  try {
    return (await fetch(address, { signal: stop.signal })).status;
  } catch {
    return 0; // nobody answers
  } finally {
    stop.abort();
  }
}

// region listen
/**
 * Hear every event once, in order, for as long as it takes.
 *
 * `told(event)` gets each event, `live(boolean)` says whether what comes is news, and
 * `line(state, status)` gets "open", "lost" or, with the reason, "refused". Returns a
 * function that hangs up.
 */
export function listen(address, { told, live, line }) {
  let last = 0, failures = 0, over = false, source, timer, watch;

  const place = () => `${address}?after=${last}`;

  const dial = () => {
    live(false);
    source = new EventSource(place());
    source.onopen = () => line("open");
    source.onmessage = ({ data, lastEventId }) => {
      alive();
      const id = Number(lastEventId);
      if (id <= last) return; // it has been here
      last = id;
      told(JSON.parse(data));
    };
    source.addEventListener("live", () => {
      alive();
      failures = 0;
      live(true);
    });
    source.onerror = redial;
    alive();
  };

  const alive = () => {
    clearTimeout(watch); // a line that is cut without a word says nothing: so we count
    watch = setTimeout(redial, SILENCE);
  };

  const quiet = () => {
    source?.close();
    clearTimeout(watch);
    clearTimeout(timer);
  };

  const redial = async () => {
    quiet(); // EventSource gives up at a 502; we do not, and so do it ourselves
    const status = await statusOf(place()); // which EventSource does not tell
    if (over) return;
    if (REFUSED.includes(status)) return line("refused", status);
    if (status === 204) return; // all has been told
    line("lost");
    const pause = Math.min(LONGEST, FIRST * 2 ** failures++);
    timer = setTimeout(dial, pause * (0.5 + Math.random() / 2));
  };

  const hangUp = () => {
    over = true;
    quiet();
  };

  dial();
  return hangUp;
}
// endregion listen

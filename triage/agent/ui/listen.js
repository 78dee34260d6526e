/* Server-sent events that survive what EventSource alone does not. */

const SILENCE = 30_000; // three signs of life that did not come
const FIRST = 500; // milliseconds to the first attempt, then twice as long each time
const LONGEST = 15_000;

// region listen
/**
 * Hear every event once, in order, for as long as it takes.
 *
 * `told(event)` gets each event, `live(boolean)` says whether what comes is news, and
 * `line(state)` gets "open", "lost" or "refused". Returns a function that hangs up.
 */
export function listen(address, { told, live, line }) {
  let last = 0, failures = 0, source, timer, watch;

  const dial = () => {
    live(false);
    source = new EventSource(`${address}?after=${last}`);
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

  const hangUp = () => {
    source?.close();
    clearTimeout(watch);
    clearTimeout(timer);
  };

  const redial = async () => {
    hangUp(); // EventSource gives up at a 502; we do not, and so do it ourselves
    line("lost");
    const pause = Math.min(LONGEST, FIRST * 2 ** failures++);
    timer = setTimeout(dial, pause * (0.5 + Math.random() / 2));
  };

  dial();
  return hangUp;
}
// endregion listen

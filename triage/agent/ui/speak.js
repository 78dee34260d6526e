/* What a screen reader says of a text that grows: sentences, not tokens, and nothing that is old. */

const END = /[.!?…]["')\]]*\s+|\n+/g;

// region speaker
export function speaker(log) {
  let live = false, spoken = 0, attempt = 0, whole = "";

  const at = (text) => {
    if (!live || !text.trim()) return;
    const line = document.createElement("p");
    line.textContent = text.trim();
    log.append(line);
    while (log.childElementCount > 50) log.firstElementChild.remove();
  };

  return {
    at,
    /** What has been said so far; a sentence is spoken when it has ended. */
    sentences(text, attempts) {
      if (attempts !== attempt) [attempt, spoken] = [attempts, 0];
      whole = text;
      for (const end of text.matchAll(END)) {
        const upTo = end.index + end[0].length;
        if (upTo <= spoken) continue;
        at(text.slice(spoken, upTo));
        spoken = upTo;
      }
    },
    /** Nothing follows: what is left is a sentence too. */
    rest() {
      at(whole.slice(spoken));
      spoken = whole.length;
    },
    /** Whether what comes is news. What is replayed has been said, or can be read. */
    live(news) {
      live = news;
    },
  };
}
// endregion speaker

/** Gather: requests something for each of many runs, a few at a time, and reports progress now and then. */

const AT_ONCE = 4;
const OFTEN = 500; // milliseconds between two reports

/**
 * Requests something for each run. A run that cannot be read is reported and left out; the others are shown.
 * @param {Array} items
 * @param {function} ask Returns a promise for one item.
 * @param {Object} calls isWanted(), whether to go on; report(answers, number), called with the answers so far, in
 *   order; complain(error).
 * @returns The answers, in the order of the items.
 */
export async function gather(items, ask, {isWanted, report, complain}) {
  const answers = new Array(items.length);
  const sofar = () => answers.filter((answer) => answer !== undefined);
  let [next, done, reported] = [0, 0, Date.now()];
  const work = async () => {
    while (next < items.length && isWanted()) {
      const index = next++;
      try {
        answers[index] = await ask(items[index]);
      } catch (error) {
        complain(error);
      }
      done++;
      if (Date.now() - reported > OFTEN && isWanted() && done < items.length) {
        report(sofar(), done);
        reported = Date.now();
      }
    }
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
  return sofar();
}

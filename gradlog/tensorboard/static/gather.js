/** Gather: asks for something of each of many runs, a few at a time, and tells now and then what is there so far. */

const AT_ONCE = 4;
const OFTEN = 500; // milliseconds between two tellings

/**
 * Asks for something of each run; one that cannot be read is said and left out, so that the others are seen.
 * @param {Array} items
 * @param {function} ask Returns a promise of what is asked for of one of them.
 * @param {Object} calls isWanted(), whether to go on; tell(answers, number), called with those so far, in order;
 *   complain(error).
 * @returns The answers, in the order of the items.
 */
export async function gather(items, ask, {isWanted, tell, complain}) {
  const answers = new Array(items.length);
  const sofar = () => answers.filter((answer) => answer !== undefined);
  let [next, done, told] = [0, 0, Date.now()];
  const work = async () => {
    while (next < items.length && isWanted()) {
      const index = next++;
      try {
        answers[index] = await ask(items[index]);
      } catch (error) {
        complain(error);
      }
      done++;
      if (Date.now() - told > OFTEN && isWanted() && done < items.length) {
        tell(sofar(), done);
        told = Date.now();
      }
    }
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
  return sofar();
}

/** Folding: rows of a table by block, each block as one row or as its layers; pure functions of data. */

/** Whether a block is folded: the choice for all blocks, else that of the server, turned around for some. */
export function isFolded(key, tree, {blocks, turned}) {
  const areFolded = blocks ? blocks === 'folded' : tree.is_long;
  return areFolded !== turned.includes(key);
}

const known = new WeakMap();

/**
 * A table whose folded blocks are one row each, of their largest values; the same object for the same choice.
 * @param {Object} table As `ofPart` returns it.
 * @param {Object} choice blocks ('folded', 'unfolded' or '') and turned (keys of blocks that differ).
 * @returns The table with `members` (names by row), `heads` (the beginning of each label that is never cut), `spans`
 *   ({block, isFolded, first, end}, rows of a block) and `says` (a row in words); itself if it has no blocks.
 */
export function folded(table, choice) {
  if (!hasBlocks(table)) return table;
  const key = JSON.stringify([choice.blocks, choice.turned]);
  if (known.get(table)?.key !== key) known.set(table, {key, table: made(table, choice)});
  return known.get(table).table;
}

/** Whether there is anything to fold: a block with several rows. */
export function hasBlocks({tree}) {
  const places = (tree?.places ?? []).filter((place) => place !== null);
  return new Set(places).size < places.length;
}

function made(table, choice) {
  const rows = rowsOf(table, choice);
  const values = table.values.map((row) => rows.map(({places}) => largest(places, row)));
  return {
    ...table,
    variables: rows.map(({block, places}) => (block ? block.key : table.variables[places[0]])),
    labels: rows.map(({block, places}) => (block ? block.title : table.labels[places[0]])),
    heads: rows.map(({block, places}) => (block ? block.title : table.heads[places[0]])),
    says: rows.map(({block, places}) =>
      block ? `${block.title}, the largest of ${places.length}` : table.variables[places[0]],
    ),
    members: rows.map(({places}) => places.map((place) => table.variables[place])),
    spans: spansOf(rows, table),
    values,
    marks: marksOf(table, rows),
  };
}

/** How many rows each block has, by its place. */
function sizesOf({places}) {
  return places.reduce((counted, place) => counted.set(place, (counted.get(place) ?? 0) + 1), new Map());
}

/** The rows: places of variables, and the block if it is folded. */
function rowsOf({variables, tree}, choice) {
  const [rows, sizes] = [new Map(), sizesOf(tree)];
  variables.forEach((name, place) => {
    const block = tree.blocks[tree.places[place]];
    const isRow = block && sizes.get(tree.places[place]) > 1 && isFolded(block.key, tree, choice);
    const key = isRow ? tree.places[place] : `row ${place}`;
    if (!rows.has(key)) rows.set(key, {block: isRow ? block : null, places: []});
    rows.get(key).places.push(place);
  });
  return [...rows.values()];
}

function largest(places, row) {
  let max = null;
  for (const place of places) if (row[place] !== null && (max === null || row[place] > max)) max = row[place];
  return max;
}

/** Where the rows of each block with several layers are, one after the other. */
function spansOf(rows, {tree}) {
  const [spans, sizes] = [[], sizesOf(tree)];
  rows.forEach(({block, places}, row) => {
    const of = tree.blocks[tree.places[places[0]]];
    if (!of || sizes.get(tree.places[places[0]]) < 2) return;
    const last = spans.at(-1);
    if (last?.block === of && last.end === row) last.end++;
    else spans.push({block: of, isFolded: block !== null, first: row, end: row + 1});
  });
  return spans;
}

/** The non-finite cells; those of a folded block are counted together. */
function marksOf({marks}, rows) {
  const rowOf = new Map(rows.flatMap(({places}, row) => places.map((place) => [place, row])));
  const result = new Map();
  for (const [cell, count] of marks) {
    const [time, place] = cell.split(' ').map(Number);
    const key = `${time} ${rowOf.get(place)}`;
    result.set(key, (result.get(key) ?? 0) + count);
  }
  return result;
}

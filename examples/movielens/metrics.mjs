/**
 * Area under the ROC curve: the share of (positive, negative) pairs that the scores put in the right
 * order, ties counting half. Computed from rank sums (Mann and Whitney).
 *
 * @param {ArrayLike<number>} labels 1 is positive, 0 negative
 * @param {ArrayLike<number>} scores as many as labels; NaN is an error
 * @returns {number} 0 … 1
 */
export function auc(labels, scores) {
  if (labels.length !== scores.length) {
    throw new RangeError(
      `expected ${labels.length} scores for the labels but received ${scores.length}`,
    );
  }
  const order = Array.from(scores, (score, row) => {
    if (Number.isNaN(score))
      throw new RangeError(`expected a number for scores[${row}] but received NaN`);
    return row;
  }).sort((a, b) => scores[a] - scores[b]);

  let positives = 0;
  let rankSum = 0;
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && scores[order[end]] === scores[order[start]]) end += 1;
    const rank = (start + 1 + end) / 2; // all tied scores share the mean of their ranks
    for (let place = start; place < end; place += 1) {
      if (labels[order[place]] === 1) {
        positives += 1;
        rankSum += rank;
      }
    }
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) {
    throw new RangeError('expected labels of both kinds but received one kind only');
  }
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/**
 * Percentiles by nearest rank: the smallest sample that at least `p` percent of the samples do not exceed.
 *
 * @param {ArrayLike<number>} samples at least one; left as they are
 * @param {readonly number[]} wanted each above 0 and at most 100
 * @returns {number[]} in the order of `wanted`
 */
export function percentiles(samples, wanted) {
  if (samples.length === 0) throw new RangeError('expected at least one sample but received none');
  const sorted = Float64Array.from(samples).sort();
  return wanted.map((p) => {
    if (!(p > 0 && p <= 100))
      throw new RangeError(`expected a percentile in (0, 100] but received ${p}`);
    // The small term undoes rounding such as 99.9 / 100 * 1000 = 999.0000000000001.
    const rank = Math.ceil((p / 100) * sorted.length - 1e-9);
    return sorted[Math.max(0, rank - 1)];
  });
}

/**
 * Places of the `count` highest scores among the rows that `keep` admits, the highest first; of equal
 * scores the earlier row comes first.
 *
 * @param {ArrayLike<number>} scores
 * @param {number} count
 * @param {(row: number) => boolean} keep
 * @returns {number[]}
 */
export function top(scores, count, keep = () => true) {
  const rows = [];
  for (let row = 0; row < scores.length; row += 1) if (keep(row)) rows.push(row);
  return rows.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

// Weights that always sum to 100, and the traffic rules that they make.

// Set one weight; what that takes or leaves is shared by the others in proportion: by those that
// nobody has set yet first, then by the one that was set longest ago. `set` lists names, oldest first.
export function rebalanced(weights, name, wanted, set) {
  const value = Math.max(0, Math.min(100, Math.round(wanted) || 0));
  const next = { ...weights, [name]: value };
  const free = Object.keys(weights).filter((n) => n !== name && !set.includes(n));
  const order = [free, ...set.filter((n) => n !== name && n in weights).map((n) => [n])];
  let left = 100 - Object.values(next).reduce((a, b) => a + b, 0);
  for (const group of order) {
    if (left === 0) break;
    left -= shared(next, group, left);
  }
  if (left !== 0) next[name] += left; // there is nobody else
  return next;
}

// Give a group more (or less, if negative), in proportion to what each has; how much it took.
function shared(weights, group, amount) {
  const has = group.reduce((sum, n) => sum + weights[n], 0);
  const target = Math.max(0, Math.min(100, has + amount));
  if (!group.length || target === has) return 0;
  const exact = group.map((n) => (has ? (weights[n] / has) * target : target / group.length));
  const whole = exact.map(Math.floor);
  let rest = target - whole.reduce((a, b) => a + b, 0);
  const byRest = exact.map((e, i) => [e - whole[i], i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (const [, i] of byRest) if (rest-- > 0) whole[i] += 1;
  group.forEach((n, i) => { weights[n] = whole[i]; });
  return target - has;
}

// The rule list that gives each revision its weight, with every label and `latest` where they were.
export function rulesOf(rules, weights, latest) {
  const left = { ...weights };
  const kept = rules.map((rule) => {
    const name = rule.revisionName ?? latest;
    const weight = left[name] ?? 0;
    if (name in left) left[name] = 0;
    return { ...rule, weight };
  });
  const added = Object.entries(left)
    .filter(([, weight]) => weight > 0)
    .map(([revisionName, weight]) => ({ revisionName, weight }));
  return [...kept.filter((r) => r.weight > 0 || r.label), ...added];
}

// How many of a hundred users change the revision they are answered by.
export const moved = (before, after) =>
  Object.keys(after).reduce((sum, n) => sum + Math.max(0, after[n] - (before[n] ?? 0)), 0);

// Figures and moments as people read them.

export const NOTHING = "–";
export const rate = (n) => (n === undefined || n === null ? NOTHING : n >= 100 || n === 0 ? n.toFixed(0) : n.toFixed(1));
export const percent = (share) => {
  if (share === undefined || share === null) return NOTHING;
  const n = share * 100;
  return `${n === 0 || n >= 10 ? n.toFixed(0) : n.toFixed(1)} %`;
};
export const ms = (n) => {
  if (n === undefined || n === null) return NOTHING;
  if (n >= 10_000) return `${(n / 1000).toFixed(0)} s`;
  if (n >= 1000) return `${(n / 1000).toFixed(1)} s`;
  return `${n >= 10 ? n.toFixed(0) : n.toFixed(1)} ms`;
};

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"]];
export const ago = (moment) => {
  const s = Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
  for (const [step, unit] of STEPS) if (s >= step) return `${Math.floor(s / step)} ${unit} ago`;
  return s < 10 ? "just now" : `${Math.floor(s / 10) * 10} s ago`;
};
export const when = (moment) => new Date(moment).toLocaleString();
export const short = (revision) => revision.split("--")[1] ?? revision;
export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// The token's name if it has one, else the program: "ann: console (Mozilla/5.0)" is ann.
export const who = (text) => text.replace(/: .*$/, "").replace(/\s*\(.*\)$/, "").replace(/\/.*$/, "") || "unknown";

export const urlOf = (host, port) => `http://${host}${port && port !== "80" ? `:${port}` : ""}/`;

// What is asked, and what fails, revision by revision, since the page was opened.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { percent, rate, short } from "../format.js";

const SECONDS = 120;
const HEIGHT = 150;
const MOST_POINTS = 300;
const MOST_LINES = 8; // the busiest: more cannot be told apart
const uplot = () => import("../vendor/uplot.js"); // as large as all the rest, and for charts only
const trails = new Map(); // app -> what was seen of it: it stays while one looks at other pages
const MOST_APPS = 5;

function trailOf(app) {
  const trail = trails.get(app) ?? { times: [], rows: [] };
  trails.delete(app);
  trails.set(app, trail); // the last one looked at is the last one
  if (trails.size > MOST_APPS) trails.delete(trails.keys().next().value);
  return trail;
}

function note(trail, rates) {
  if (trail.times.at(-1) === rates.at / 1000) return;
  trail.times.push(rates.at / 1000);
  trail.rows.push(rates.revisions);
  while (trail.times[0] < rates.at / 1000 - SECONDS || trail.times.length > MOST_POINTS) { trail.times.shift(); trail.rows.shift(); }
}

export function Charts({ app, names, rates, colour }) {
  return useMemo(() => {
    const trail = trailOf(app);
    if (rates) note(trail, rates);
    return drawn(trail, busiest(names, rates), rates?.revisions ?? {}, colour);
  }, [app, rates, names]);
}

function busiest(names, rates) {
  if (names.length <= MOST_LINES) return names;
  const perS = (n) => rates?.revisions[n]?.[0] ?? 0;
  const chosen = new Set([...names].sort((a, b) => perS(b) - perS(a)).slice(0, MOST_LINES));
  return names.filter((n) => chosen.has(n));
}

function drawn(trail, names, last, colour) {
  const end = trail.times.at(-1) ?? Date.now() / 1000;
  const times = trail.times.map((t) => t - end);
  const columns = (at) => names.map((n) => trail.rows.map((row) => (row[n] ? row[n][at] : 0)));
  const told = (at, show) => names.map((n) => `${short(n)} ${show(last[n]?.[at] ?? 0)}`).join(", ");
  const shared = { series: names.map((n) => ({ name: n, colour: colour(n) })), range: [-SECONDS, 0] };
  return html`
    <div class="charts">
      <${Chart} title="Requests/s" ...${shared} show=${rate} least=${1}
        data=${[times, ...columns(0)]} words=${told(0, rate)} />
      <${Chart} title="Errors" ...${shared} show=${percent} least=${0.05}
        data=${[times, ...columns(1)]} words=${told(1, percent)} />
    </div>`;
}

const beforeNow = (s) => (s ? `${-s} s ago` : "now");
const beforeHour = (min) => (min ? `${-min} min ago` : "now");
const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function Chart({ title, series, data, range, show, least, words, time = true }) {
  const box = useRef(null);
  const plot = useRef(null);
  const theme = useTheme();
  const key = series.map((s) => s.name + s.colour).join() + theme;
  const limits = useRef(range);
  limits.current = range;
  const newest = useRef(data);
  newest.current = data;
  useEffect(() => {
    let isGone = false;
    let end = () => {};
    uplot().then(({ default: uPlot }) => {
      if (!isGone) end = draw(uPlot, box.current, plot, { series, limits, show, least, time, data: newest.current });
    });
    return () => { isGone = true; end(); };
  }, [key]);
  useEffect(() => { plot.current?.setData(data); }, [data]);
  return html`
    <section class="panel chart" aria-label=${title}>
      <header><h2>${title}</h2><span class="legend">${series.map((s) => html`<span key=${s.name}><i class="c ${s.colour}"></i>${short(s.name)}</span>`)}</span></header>
      <div ref=${box} role="img" aria-label=${`${title} now: ${words || "nothing"}`}></div>
    </section>`;
}

function draw(uPlot, within, plot, { series, limits, show, least, time, data }) {
  const axis = { stroke: paint("faint"), grid: { stroke: paint("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const line = (s) => ({ stroke: paint(s.colour), width: 2, points: { show: false }, fill: `${paint(s.colour)}18` });
  const size = () => ({ width: within.clientWidth, height: HEIGHT });
  const made = new uPlot({
    ...size(), cursor: { show: false }, legend: { show: false }, padding: [8, 22, 0, 0],
    scales: { x: { time: false, range: () => limits.current }, y: { range: (_, __, most) => [0, Math.max(least, most * 1.15)] } },
    axes: [
      { ...axis, space: 80, size: 26, values: (_, vs) => vs.map(time ? beforeNow : beforeHour) },
      { ...axis, size: 48, space: 32, values: (_, vs) => vs.map(show) },
    ],
    series: [{}, ...series.map(line)],
  }, data, within);
  const seen = new ResizeObserver(() => made.setSize(size()));
  seen.observe(within);
  plot.current = made;
  return () => { plot.current = null; seen.disconnect(); made.destroy(); };
}

function useTheme() {
  const asked = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [isDark, setDark] = useState(asked.matches);
  useEffect(() => {
    const change = () => setDark(asked.matches);
    asked.addEventListener("change", change);
    return () => asked.removeEventListener("change", change);
  }, []);
  return isDark ? "dark" : "light";
}

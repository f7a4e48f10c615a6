// What is asked, and what fails, revision by revision, since the page was opened.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import uPlot from "../vendor/uplot.js";
import { percent, rate, short } from "../format.js";

const SECONDS = 120;
const MOST_POINTS = 300;
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
  const trail = trailOf(app);
  if (rates) note(trail, rates);
  const end = trail.times.at(-1) ?? Date.now() / 1000;
  const times = trail.times.map((t) => t - end);
  const columns = (at) => names.map((n) => trail.rows.map((row) => (row[n] ? row[n][at] : 0)));
  const last = rates?.revisions ?? {};
  const told = (at, show) => names.map((n) => `${short(n)} ${show(last[n]?.[at] ?? 0)}`).join(", ");
  const range = [-SECONDS, 0];
  const series = names.map((n) => ({ name: n, colour: colour(n) }));
  return html`
    <div class="charts">
      <${Chart} title="Requests/s" series=${series} range=${range} show=${rate} least=${1}
        data=${[times, ...columns(0)]} words=${told(0, rate)} />
      <${Chart} title="Errors" series=${series} range=${range} show=${percent} least=${0.05}
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
  useEffect(() => {
    const within = box.current;
    const axis = { stroke: paint("faint"), grid: { stroke: paint("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const made = new uPlot({
      width: within.clientWidth, height: 150, cursor: { show: false }, legend: { show: false },
      padding: [8, 22, 0, 0],
      scales: { x: { time: false, range: () => limits.current }, y: { range: (_, __, most) => [0, Math.max(least, most * 1.15)] } },
      axes: [{ ...axis, space: 80, size: 26, values: (_, vs) => vs.map(time ? beforeNow : beforeHour) }, { ...axis, size: 48, space: 32, values: (_, vs) => vs.map(show) }],
      series: [{}, ...series.map((s) => ({ stroke: paint(s.colour), width: 2, points: { show: false }, fill: `${paint(s.colour)}18` }))],
    }, data, within);
    plot.current = made;
    const seen = new ResizeObserver(() => made.setSize({ width: within.clientWidth, height: 150 }));
    seen.observe(within);
    return () => { seen.disconnect(); made.destroy(); };
  }, [key]);
  useEffect(() => { plot.current?.setData(data); }, [data]);
  return html`
    <section class="panel chart" aria-label=${title}>
      <header><h2>${title}</h2><span class="legend">${series.map((s) => html`<span key=${s.name}><i class="c ${s.colour}"></i>${short(s.name)}</span>`)}</span></header>
      <div ref=${box} role="img" aria-label=${`${title} now: ${words || "nothing"}`}></div>
    </section>`;
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

// All apps: the server searches, sorts and pages, so a thousand of them are as quick as ten.
import { html, useEffect, useState } from "../html.js";
import { useDesk } from "../desk.js";
import { useLive } from "../live.js";
import { ago, ms, percent, plural, rate, urlOf, when } from "../format.js";
import { Bar, coloured } from "../parts/split.js";

const LIMIT = 50;
const TYPING_MS = 200;
const COLUMNS = [
  ["name", "App"], [null, "Split"], ["rate", "Requests/s"], ["errors", "Errors"], [null, "p50"],
  ["p99", "p99"], [null, "Revisions"], ["changed", "Changed"],
];

export function Overview({ query }) {
  const { told, server } = useDesk();
  const [typed, setTyped] = useState(query.search ?? "");
  const [search, setSearch] = useState(query.search ?? "");
  const [sort, setSort] = useState(query.sort ?? "name");
  const [offset, setOffset] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => { setSearch(typed); setOffset(0); }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const { state, rates } = useLive({ search, sort, limit: LIMIT, offset }, told);
  const [kept, setKept] = useState(null); // what was shown before the last search
  useEffect(() => { if (state) setKept(state); }, [state]);
  const shown = state ?? kept;
  return html`
    <div class="title"><h1>Apps</h1><${Summary} state=${shown} rates=${rates} /></div>
    <div class="tools">
      <input type="search" aria-label="Search apps" placeholder="Search" value=${typed}
        onInput=${(e) => setTyped(e.currentTarget.value)} />
      <label>Sort by <select value=${sort}
        onChange=${(e) => { setSort(e.currentTarget.value); setOffset(0); }}>
        ${[["name", "name"], ["state", "state"], ["rate", "requests"], ["errors", "errors"], ["p99", "p99"], ["changed", "last change"]]
          .map(([value, text]) => html`<option value=${value}>${text}</option>`)}
      </select></label>
    </div>
    ${shown && html`<${Table} rows=${shown.apps} rates=${rates?.apps ?? {}} sort=${sort}
      onSort=${setSort} port=${server.port} />`}
    ${shown && html`<${Pages} found=${shown.found} offset=${offset} onMove=${setOffset} />`}
    ${shown?.total === 0 && html`<p class="empty">There is no app yet.
      <code>turnout app create</code> makes one, or <a href="/docs">the API</a>.</p>`}
    ${shown?.total > 0 && !shown.found && html`<p class="empty">No app is called like that.</p>`}`;
}

function Summary({ state, rates }) {
  if (!state) return null;
  const { tones, total } = state;
  const [perS, errors] = rates?.total ?? [];
  return html`
    <dl class="facts">
      <div><dt>Requests/s</dt><dd>${rate(perS)}</dd></div>
      <div><dt>Errors</dt><dd class=${errors > 0.01 ? "bad" : ""}>${percent(errors)}</dd></div>
      <div><dt>Apps</dt><dd>${total}</dd></div>
      ${tones.bad > 0 && html`<div><dt>Failing</dt><dd class="bad">${tones.bad}</dd></div>`}
      ${tones.busy > 0 && html`<div><dt>Changing</dt><dd class="busy">${tones.busy}</dd></div>`}
    </dl>`;
}

function Table({ rows, rates, sort, onSort, port }) {
  return html`
    <div class="scroll">
    <table class="apps" aria-label="Apps">
      <thead><tr>${COLUMNS.map(([by, text], i) => html`
        <th scope="col" class=${i > 1 && i < 7 ? "n" : ""} aria-sort=${by && by === sort ? (by === "name" ? "ascending" : "descending") : undefined}>
          ${by ? html`<button class="quiet" onClick=${() => onSort(by)}>${text}</button>` : text}</th>`)}
      </tr></thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.name} row=${row} rates=${rates[row.name]} port=${port} />`)}</tbody>
    </table></div>`;
}

function Row({ row, rates = [], port }) {
  const [perS, errors, p50, p99, failing] = rates;
  const words = [row.goingOn, failing].filter(Boolean).join(" · ");
  const tone = failing && row.tone === "ok" ? "bad" : row.tone;
  const colour = coloured(row.name, row.weights.map(([name]) => name).sort());
  return html`
    <tr>
      <th scope="row"><span class="dot ${tone}"></span><a href=${`#/apps/${row.name}`}>${row.name}</a>
        ${words ? html`<span class="words ${tone}">${words}</span>` : html`<span class="words">${row.mode}${row.fqdn && html` · <a href=${urlOf(row.fqdn, port)} rel="noreferrer">${row.fqdn}</a>`}</span>`}</th>
      <td class="wide-only"><${Bar} parts=${row.weights} colour=${colour} label="Weights" thin /></td>
      <td class="n" data-of="Requests/s">${rate(perS)}</td>
      <td class="n ${errors >= 0.01 ? "bad" : ""}" data-of="Errors">${percent(errors)}</td>
      <td class="n" data-of="p50">${ms(p50)}</td>
      <td class="n" data-of="p99">${ms(p99)}</td>
      <td class="n" data-of="Revisions">${row.revisions}</td>
      <td data-of="Changed" title=${when(row.changed)}>${ago(row.changed)}</td>
    </tr>`;
}

function Pages({ found, offset, onMove }) {
  if (found <= LIMIT) return null;
  const last = Math.min(offset + LIMIT, found);
  return html`
    <nav class="pages" aria-label="Pages of apps">
      <button disabled=${!offset} onClick=${() => onMove(Math.max(0, offset - LIMIT))}>Previous</button>
      <span>${offset + 1} to ${last} of ${plural(found, "app")}</span>
      <button disabled=${last >= found} onClick=${() => onMove(offset + LIMIT)}>Next</button>
    </nav>`;
}

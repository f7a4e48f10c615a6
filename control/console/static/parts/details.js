// One revision from near: URLs, state, its last hour, replicas, log and template.
import { html, useEffect, useState } from "../html.js";
import { at, get } from "../api.js";
import { ms, percent, rate, urlOf, when } from "../format.js";
import { Chart } from "./charts.js";
import { Dialog } from "./dialog.js";
import { Log } from "./log.js";

export function Details({ app, name, row, rates = [], port }) {
  const [revision, setRevision] = useState(null);
  const [why, setWhy] = useState("");
  const [hour, setHour] = useState([]);
  const path = at("apps", app, "revisions", name);
  useEffect(() => {
    const stop = new AbortController();
    get(path, stop.signal).then(setRevision, (refusal) => setWhy(refusal.message));
    get(`${path}/history`, stop.signal).then((h) => setHour(h.minutes), () => {});
    return () => stop.abort();
  }, [path, row?.runningState, row?.active]);
  const close = () => { location.hash = `#/apps/${app}`; };
  const shown = { ...revision, ...row };
  return html`
    <${Dialog} title=${name} onClose=${close} wide>
      ${why && html`<p class="problem">${why}</p>`}
      ${revision && html`
        <${Facts} shown=${shown} rates=${rates} port=${port} />
        <${Hour} minutes=${hour} />
        <${Replicas} app=${app} revision=${name} replicas=${shown.replicaList ?? []} />
        <h3>Template</h3><pre class="template" tabindex="0">${JSON.stringify(revision.template, null, 2)}</pre>`}
    <//>`;
}

function Facts({ shown, rates, port }) {
  const [perS, errors, p50, p99] = rates;
  const urls = [shown.fqdn, ...Object.values(shown.labelHosts ?? {})].filter(Boolean).map((h) => urlOf(h, port));
  return html`
    <dl class="details">
      <dt>State</dt><dd>${shown.active ? shown.runningState : "Inactive"} ${shown.active && html`<span class="hint">${shown.runningStateDetails}</span>`}
        ${shown.provisioningError && html`<span class="bad">${shown.provisioningError}</span>`}</dd>
      ${urls.length > 0 && shown.active && html`<dt>URLs</dt><dd>${urls.map((u) => html`<a key=${u} href=${u} rel="noreferrer">${u}</a> `)}</dd>`}
      <dt>Now</dt><dd>${rate(perS)} requests/s · ${percent(errors)} errors · p50 ${ms(p50)} · p99 ${ms(p99)}</dd>
      <dt>Created</dt><dd>${when(shown.createdTime)}${shown.lastActiveTime && ` · last active ${when(shown.lastActiveTime)}`}</dd>
      <dt>Weight</dt><dd>${shown.trafficWeight} %${shown.labels?.length ? ` · labels ${shown.labels.join(", ")}` : ""}</dd>
    </dl>`;
}

function Hour({ minutes }) {
  if (!minutes.length) return html`<p class="hint">No requests in the last hour.</p>`;
  const xs = Array.from({ length: 60 }, (_, i) => i - 59);
  const by = new Map(minutes.map((m) => [-m[0], m]));
  const of = (i) => xs.map((x) => by.get(x)?.[i] ?? 0);
  const total = minutes.reduce((sum, m) => sum + m[1], 0);
  const series = [{ name: "requests", colour: "c0" }, { name: "errors", colour: "bad" }];
  return html`<${Chart} title="Last hour, per minute" series=${series} range=${[-59, 0]} time=${false}
    show=${rate} least=${1} data=${[xs, of(1), of(2)]} words=${`${total} requests in the last hour`} />`;
}

function Replicas({ app, revision, replicas }) {
  const [opened, setOpened] = useState("");
  if (!replicas.length) return null;
  return html`
    <h3>Replicas</h3>
    <div class="scroll"><table aria-label="Replicas">
      <thead><tr>${["Replica", "State", "Address", "Restarts", "Log"].map((t) => html`<th scope="col">${t}</th>`)}</tr></thead>
      <tbody>${replicas.map((r) => {
        const last = r.lastFailure ? `${r.lastFailure.reason}: ${r.lastFailure.message}` : "";
        const restarts = Math.max(0, ...r.containers.map((c) => c.restartCount));
        return html`<tr key=${r.name}><th scope="row">${r.name}</th>
          <td data-of="State">${r.state} ${(r.runningStateDetails || last) && html`<small>${r.runningStateDetails || last}</small>`}</td>
          <td data-of="Address"><code>${r.address}</code></td><td class="n" data-of="Restarts">${restarts}</td>
          <td data-of="Log"><button class="small" aria-expanded=${opened === r.name} aria-label=${`Log of ${r.name}`}
            onClick=${() => setOpened(opened === r.name ? "" : r.name)}>Log</button></td></tr>`;
      })}</tbody>
    </table></div>
    ${opened && html`<${Log} key=${opened} app=${app} revision=${revision} replica=${opened} />`}`;
}

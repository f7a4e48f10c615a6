// The table of revisions: state, labels, weight, what is observed, and what can be done.
import { html, useMemo, useState } from "../html.js";
import { at, call } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { ago, ms, percent, rate, urlOf, when } from "../format.js";
import { Copy } from "./copy.js";
import { Labels } from "./labels.js";
import { Refused } from "./field.js";

const WORDS = { RunningAtMaxScale: "Running at max", ActivationFailed: "Activation failed" };
const COLUMNS = ["Revision", "State", "Labels", "Weight", "Observed", "Req/s", "Errors", "p99", "Replicas", "Actions"];
const FIGURES = ["Observed", "Req/s", "Errors", "p99", "Replicas"];

export function Revisions({ app, revisions, rates, colour, draft, port, opened, makers }) {
  const active = revisions.filter((r) => r.active);
  const resting = revisions.filter((r) => !r.active);
  const row = (r) => html`<${Row} key=${r.name} app=${app} row=${r} all=${active} rates=${rates[r.name]}
    colour=${colour(r.name)} draft=${draft} port=${port} isOpen=${r.name === opened} maker=${makers[r.name]} />`;
  return html`
    <div class="scroll">
      <table class="revisions" aria-label="Revisions">
        <thead><tr>${COLUMNS.map((text) => html`<th scope="col" class=${FIGURES.includes(text) ? "n" : ""}>${text}</th>`)}</tr></thead>
        <tbody>${active.map(row)}</tbody>
        ${resting.length > 0 && html`<tbody class="resting">${resting.map(row)}</tbody>`}
      </table>
    </div>`;
}

// What moves every second are five figures: the rest of a row is drawn again only with its state.
function Row({ app, row, all, rates = [], colour, draft, port, isOpen, maker }) {
  const [perS, errors, , p99, share] = rates;
  const drift = share !== null && share !== undefined ? Math.abs(share * 100 - row.trafficWeight) : 0;
  const still = useMemo(() => ({
    head: html`<${Head} app=${app} row=${row} colour=${colour} port=${port} maker=${maker} />`,
    state: html`<td data-of="State"><${State} row=${row} /></td>`,
    labels: html`<td data-of="Labels"><${Labels} app=${app} row=${row} all=${all} port=${port} /></td>`,
    acts: html`<td class="acts" data-of="Actions"><${Actions} app=${app} row=${row} /></td>`,
  }), [row, colour, port, maker]);
  const value = draft.weights[row.name] ?? 0;
  const weight = useMemo(
    () => html`<td data-of="Weight">${row.active && html`<${Weight} row=${row} draft=${draft} />`}</td>`,
    [row, value, draft.isEdited, draft.key],
  );
  return html`
    <tr class=${isOpen ? "open" : ""}>
      ${still.head}${still.state}${still.labels}${weight}
      <td class="n ${drift > 10 ? "busy" : ""}" data-of="Observed">${percent(share)}</td>
      <td class="n" data-of="Req/s">${rate(perS)}</td>
      <td class="n ${errors >= 0.01 ? "bad" : ""}" data-of="Errors">${percent(errors)}</td>
      <td class="n" data-of="p99">${ms(p99)}</td>
      <td class="n" data-of="Replicas">${row.active ? `${row.ready}/${row.wanted}` : "–"}</td>
      ${still.acts}
    </tr>`;
}

function Head({ app, row, colour, port, maker }) {
  const open = () => { location.hash = `#/apps/${app.name}/revisions/${row.name}`; };
  return html`
    <th scope="row" aria-label=${row.name}>
      <span class="rail ${row.active ? colour : ""}"></span>
      <button class="name" aria-label=${`Details of ${row.name}`} onClick=${open}>${row.name}</button>
      <small>${row.images.join(", ")} · <time datetime=${row.createdTime} title=${when(row.createdTime)}>${ago(row.createdTime)}</time>${maker && ` by ${maker}`}</small>
      ${row.active && row.fqdn && html`<small><a href=${urlOf(row.fqdn, port)} aria-label=${urlOf(row.fqdn, port)} rel="noreferrer">${row.fqdn}</a></small>`}
    </th>`;
}

function State({ row }) {
  if (!row.active) {
    return html`<span class="state"><span class="dot off"></span>Inactive</span>
      ${row.provisioningError && html`<small class="bad">${row.provisioningError}</small>`}`;
  }
  const state = row.runningState ?? "Unknown";
  const details = row.tone === "ok" ? "" : row.runningStateDetails;
  return html`
    <span class="state"><span class="dot ${row.tone}"></span>${WORDS[state] ?? state}</span>
    ${details && html`<small class=${row.tone}>${details}</small>`}
    ${row.fault && html`<small class="busy">fault injected until ${when(row.fault.until)}</small>`}`;
}

function Weight({ row, draft }) {
  const { canWrite } = useDesk();
  const value = draft.weights[row.name] ?? 0;
  if (!canWrite || !draft.isEditable) return html`<span class="fixed">${row.trafficWeight} %</span>`;
  const set = (event) => { if (event.currentTarget.value !== "") draft.set(row.name, Number(event.currentTarget.value)); };
  return html`
    <span class="weight ${draft.isEdited && value !== row.trafficWeight ? "edited" : ""}">
      <input type="range" min="0" max="100" value=${value} aria-label=${`Slide weight of ${row.suffix}`} tabindex="-1" onInput=${set} />
      <input type="number" min="0" max="100" step="1" value=${value} aria-label=${`Weight of ${row.name}`} onInput=${set} /> %
    </span>`;
}

const ACTS = { activate: "activated", deactivate: "deactivated", restart: "restarting" };

function Actions({ app, row }) {
  const { canWrite, say } = useDesk();
  const [isCopying, setCopying] = useState(false);
  const { act, isBusy, refusal } = useAction(async (what) => {
    await call("POST", `${at("apps", app.name, "revisions", row.name)}/${what}`);
    say(`${row.name}: ${ACTS[what]}.`);
  });
  if (!canWrite) return null;
  const button = (what, text) => html`<button class="small" disabled=${isBusy} aria-label=${`${text} ${row.name}`}
    onClick=${() => act(what)}>${text}</button>`;
  return html`
    <div class="buttons">
      ${row.active && button("restart", "Restart")}
      <button class="small" aria-label=${`Copy ${row.name}`} onClick=${() => setCopying(true)}>Copy</button>
      ${row.active ? button("deactivate", "Deactivate") : button("activate", "Activate")}
    </div>
    <${Refused} refusal=${refusal} />
    ${isCopying && html`<${Copy} app=${app} row=${row} onClose=${() => setCopying(false)} />`}`;
}

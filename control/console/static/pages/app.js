// One app: its traffic, its revisions, and what was changed last.
import { html, useEffect, useMemo, useState } from "../html.js";
import { at, call } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { useLive } from "../live.js";
import { ms, percent, plural, rate, short, urlOf, who } from "../format.js";
import { coloured } from "../parts/split.js";
import { Charts } from "../parts/charts.js";
import { Dialog } from "../parts/dialog.js";
import { Details } from "../parts/details.js";
import { Mode } from "../parts/mode.js";
import { Records, useRecords } from "../parts/records.js";
import { Refused } from "../parts/field.js";
import { Revisions } from "../parts/revisions.js";
import { Traffic, useDraft } from "../parts/traffic.js";

export function AppPage({ app: name, revision }) {
  const { told, server } = useDesk();
  const [isAll, setAll] = useState(false);
  const { state, rates, gone } = useLive({ app: name, inactive: isAll }, told);
  const [kept, setKept] = useState(null);
  useEffect(() => { if (state) setKept(state); }, [state]);
  const shown = state ?? kept;
  if (gone) return html`<p class="empty">There is no app <b>${name}</b>. <a href="#/">All apps</a></p>`;
  if (!shown) return html`<div class="title"><h1>${name}</h1></div>`;
  return html`<${Shown} ...${shown} rates=${rates} port=${server.port} opened=${revision}
    isAll=${isAll} onAll=${() => setAll(!isAll)} />`;
}

function Shown({ app, revisions, inactive, hidden, rates, port, opened, isAll, onAll }) {
  const active = revisions.filter((r) => r.active);
  const oldest = useMemo(() => active.map((r) => r.name).reverse(), [revisions]);
  const colour = coloured(app.name, oldest);
  const draft = useDraft(app, active);
  const journal = useRecords(app.name, app.version);
  const makers = useMemo(() => makersIn(journal), [journal]);
  const chosen = revisions.find((r) => r.name === opened);
  return html`
    <${Head} app=${app} rates=${rates?.app} failing=${failing(rates)} port=${port} />
    <${Problem} app=${app} />
    <${Traffic} app=${app} active=${active} rates=${rates} colour=${colour} draft=${draft} />
    <${Revisions} app=${app} revisions=${revisions} rates=${rates?.revisions ?? {}} colour=${colour}
      draft=${draft} port=${port} opened=${opened} makers=${makers} />
    ${(hidden > 0 || isAll) && html`<p class="under"><button class="quiet" aria-expanded=${isAll} onClick=${onAll}>
      ${isAll ? "Show only the newest inactive ones" : `Show all ${plural(inactive, "inactive revision")}`}</button></p>`}
    <${Charts} app=${app.name} names=${oldest} rates=${rates} colour=${colour} />
    <section class="panel" aria-labelledby="changes">
      <header><h2 id="changes">Latest changes</h2><span class="grow"></span><a href=${`#/journal?app=${app.name}`}>Journal</a></header>
      <${Records} app=${app.name} page=${journal && { value: journal.value.slice(0, SHOWN) }} compact />
    </section>
    ${opened && html`<${Details} app=${app.name} name=${opened} row=${chosen} rates=${rates?.revisions?.[opened]} port=${port} />`}`;
}

const SHOWN = 6; // changes

// The revision of which clients see the most errors, in words.
function failing(rates) {
  const bad = Object.entries(rates?.revisions ?? {}).filter(([name, [perS, errors]]) => name && errors >= 0.05 && perS >= 0.2);
  if (!bad.length) return "";
  const [name, [, errors]] = bad.sort((a, b) => b[1][1] - a[1][1])[0];
  return `${short(name)}: ${percent(errors)} of requests fail`;
}

// Who made which revision, as the journal says.
function makersIn(journal) {
  const found = {};
  for (const record of journal?.value ?? []) {
    for (const line of record.changes) {
      const name = line.match(/^revision (\S+) made from /)?.[1];
      if (name) found[name] = who(record.who);
    }
  }
  return found;
}

function Head({ app, rates = [], failing, port }) {
  const { canWrite, say } = useDesk();
  const [perS, errors, p50, p99] = rates;
  const path = at("apps", app.name);
  const { act, isBusy, refusal } = useAction(async (what, done) => {
    const answer = await call("POST", `${path}/${what}`);
    say(done(answer));
  });
  const [isStopping, setStopping] = useState(false);
  const tone = failing && app.tone === "ok" ? "bad" : app.tone;
  const words = [app.goingOn, failing].filter(Boolean).join(" · ") || app.runningStatus.toLowerCase();
  const isStopped = app.tone === "off" && app.goingOn === "stopped";
  const ingress = app.configuration.ingress;
  return html`
    <div class="title">
      <h1>${app.name}</h1>
      <span class="chip ${tone}"><span class="dot ${tone}"></span>${words}</span>
      <dl class="facts">
        <div><dt>Requests/s</dt><dd>${rate(perS)}</dd></div>
        <div><dt>Errors</dt><dd class=${errors >= 0.01 ? "bad" : ""}>${percent(errors)}</dd></div>
        <div><dt>p50</dt><dd>${ms(p50)}</dd></div>
        <div><dt>p99</dt><dd>${ms(p99)}</dd></div>
      </dl>
    </div>
    <div class="tools">
      ${ingress && html`<a class="url" href=${urlOf(ingress.fqdn, port)} rel="noreferrer">${ingress.fqdn}</a>`}
      <span class="grow"></span>
      <${Mode} app=${app} />
      ${canWrite && app.provisioningState === "InProgress" && html`<button disabled=${isBusy}
        onClick=${() => act("cancel", (a) => `${a.cancelled} is given up.`)}>Cancel the deploy</button>`}
      ${canWrite && html`
        ${isStopped
          ? html`<button disabled=${isBusy} onClick=${() => act("start", () => `${app.name} starts.`)}>Start</button>`
          : html`<button aria-haspopup="dialog" onClick=${() => setStopping(true)}>Stop</button>`}
        <button class=${failing ? "main" : ""} disabled=${isBusy} title="Undo the last change of settings or traffic"
          onClick=${() => act("rollback", (a) => `${app.name} is rolled back to record ${a.restored.number}.`)}>Roll back</button>`}
    </div>
    <${Refused} refusal=${refusal} />
    ${isStopping && html`<${Stop} app=${app} onClose=${() => setStopping(false)} />`}`;
}

function Stop({ app, onClose }) {
  const { say } = useDesk();
  const { act, isBusy, refusal } = useAction(async () => {
    await call("POST", `${at("apps", app.name)}/stop`);
    say(`${app.name} is stopped.`);
    onClose();
  });
  return html`
    <${Dialog} title=${`Stop ${app.name}?`} onClose=${onClose}>
      <p>All its replicas end, and requests are answered 503 until it is started again. Settings, traffic and labels stay.</p>
      <${Refused} refusal=${refusal} />
      <footer><button onClick=${onClose}>Leave it running</button><button class="main" disabled=${isBusy} onClick=${act}>Stop it</button></footer>
    <//>`;
}

function Problem({ app }) {
  const said = [app.quarantined, app.provisioningError].filter(Boolean);
  return said.map((text) => html`<p key=${text} class="problem" role="alert">${text}</p>`);
}

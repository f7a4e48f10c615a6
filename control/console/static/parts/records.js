// Records of the journal, newest first, and the way back to one.
import { html, useEffect, useState } from "../html.js";
import { at, call, get, tryOut } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { ago, when, who } from "../format.js";
import { Dialog } from "./dialog.js";
import { Refused } from "./field.js";
import { Plan } from "./plan.js";

// `version` is anything that changes when there may be news.
export function useRecords(app, version, limit = 50) {
  const [page, setPage] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    get(`/v1/journal?app=${encodeURIComponent(app)}&limit=${limit}`, stop.signal).then(setPage, () => {});
    return () => stop.abort();
  }, [app, limit, version]);
  return page;
}

export function Records({ app, page, more, compact }) {
  const [chosen, setChosen] = useState(null);
  if (!page) return null;
  return html`
    <ol class="records ${compact ? "compact" : ""}" aria-label="Changes">
      ${page.value.map((record) => html`<${Record} key=${record.number} record=${record}
        showsApp=${!app} onBack=${setChosen} />`)}
    </ol>
    ${page.value.length === 0 && html`<p class="empty">Nothing was changed yet.</p>`}
    ${more && html`<button onClick=${more}>Older changes</button>`}
    ${chosen && html`<${Back} record=${chosen} onClose=${() => setChosen(null)} />`}`;
}

function Record({ record, showsApp, onBack }) {
  const { canWrite } = useDesk();
  return html`
    <li>
      <div class="head">
        <span class="number">#${record.number}</span>
        ${showsApp && html`<a href=${`#/apps/${record.app}`}>${record.app}</a>`}
        <span class="by">${who(record.who)}</span>
        <time datetime=${record.time} title=${when(record.time)}>${ago(record.time)}</time>
        ${canWrite && html`<button class="quiet back" aria-label=${`Go back to ${record.number}`}
          onClick=${() => onBack(record)}>Go back to here</button>`}
      </div>
      ${record.note && html`<p class="note">${record.note}</p>`}
      <ul>${record.changes.map((line) => html`<li key=${line}><${Change} line=${line} /></li>`)}</ul>
    </li>`;
}

// "path: old -> new" as a difference.
function Change({ line }) {
  const match = line.match(/^(.*?): (.*) -> (.*)$/);
  if (!match) return line;
  const [, path, old, now] = match;
  return html`<code>${path.replace(/^configuration\.(ingress\.)?/, "")}</code> <del>${old}</del> <ins>${now}</ins>`;
}

function Back({ record, onClose }) {
  const { say } = useDesk();
  const path = `${at("apps", record.app)}/rollback`;
  const [plan, setPlan] = useState(null);
  const tried = useAction(async () => setPlan(await tryOut("POST", path, { to: record.number })));
  const done = useAction(async () => {
    await call("POST", path, { to: record.number });
    say(`${record.app} goes back to record ${record.number}.`);
    onClose();
  });
  useEffect(() => { tried.act(); }, []);
  return html`
    <${Dialog} title=${`Go back to record ${record.number}`} onClose=${onClose}>
      <p>Settings and traffic of ${record.app} as they were after this change, ${ago(record.time)}.</p>
      <${Plan} plan=${plan} /><${Refused} refusal=${tried.refusal ?? done.refusal} />
      <footer><button onClick=${onClose}>Leave it</button>
        <button class="main" disabled=${!plan || done.isBusy} onClick=${done.act}>Go back</button></footer>
    <//>`;
}

// Records of the journal, newest first, and the way back to one.
import { html, useEffect, useState } from "../html.js";
import { at, call, get, tryOut } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { ago, when, who } from "../format.js";
import { Dialog } from "./dialog.js";
import { Refused } from "./field.js";
import { Plan } from "./plan.js";

// `version` is anything that changes when there may be news.
export function Records({ app, limit = 50, version, compact }) {
  const [page, setPage] = useState(null);
  const [chosen, setChosen] = useState(null);
  const [more, setMore] = useState([]);
  useEffect(() => {
    const stop = new AbortController();
    get(`/v1/journal?app=${encodeURIComponent(app)}&limit=${limit}`, stop.signal).then(setPage, () => {});
    return () => stop.abort();
  }, [app, limit, version]);
  if (!page) return null;
  const records = [...page.value, ...more];
  const next = more.length ? more.nextLink : page.nextLink;
  const further = async () => {
    const { value, nextLink } = await get(new URL(next).pathname + new URL(next).search);
    setMore(Object.assign([...more, ...value], { nextLink }));
  };
  return html`
    ${app && !compact && html`<p class="lead">Changes of <a href=${`#/apps/${app}`}>${app}</a>. <a href="#/journal">All apps</a></p>`}
    <ol class="records ${compact ? "compact" : ""}" aria-label="Changes">
      ${records.map((record) => html`<${Record} key=${record.number} record=${record}
        showsApp=${!app} onBack=${setChosen} />`)}
    </ol>
    ${records.length === 0 && html`<p class="empty">Nothing was changed yet.</p>`}
    ${next && !compact && html`<button onClick=${further}>Older changes</button>`}
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
  return html`<code>${path}</code> <del>${old}</del> <ins>${now}</ins>`;
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
      <p>Settings and traffic of ${record.app} as they were ${ago(record.time)}.</p>
      <${Plan} plan=${plan} /><${Refused} refusal=${tried.refusal ?? done.refusal} />
      <footer><button onClick=${onClose}>Leave it</button>
        <button class="main" disabled=${!plan || done.isBusy} onClick=${done.act}>Go back</button></footer>
    <//>`;
}

// Who changed what, and why; of all apps, or of one.
import { html, useState } from "../html.js";
import { get } from "../api.js";
import { useDesk } from "../desk.js";
import { useLive } from "../live.js";
import { Records, useRecords } from "../parts/records.js";

export function Journal({ query }) {
  const app = query.app ?? "";
  const { told } = useDesk();
  const { state } = useLive({ sort: "changed", limit: 1 }, told);
  const page = useRecords(app, state ? JSON.stringify([state.apps, state.tones, state.total]) : "");
  const [older, setOlder] = useState({ value: [] });
  if (!page) return html`<div class="title"><h1>Journal</h1></div>`;
  const next = older.value.length ? older.nextLink : page.nextLink;
  const further = async () => {
    const { pathname, search } = new URL(next);
    const { value, nextLink } = await get(pathname + search);
    setOlder({ value: [...older.value, ...value], nextLink });
  };
  const known = new Set(page.value.map((r) => r.number));
  const every = [...page.value, ...older.value.filter((r) => !known.has(r.number))];
  return html`
    <div class="title"><h1>Journal</h1></div>
    ${app && html`<p class="lead">Changes of <a href=${`#/apps/${app}`}>${app}</a>. <a href="#/journal">All apps</a></p>`}
    <${Records} app=${app} page=${{ value: every }} more=${next && further} />`;
}

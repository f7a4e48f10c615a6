// Paste a URL: which app and revision would answer, with which chance, and why.
import { html, useEffect, useState } from "../html.js";
import { get } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { useLive } from "../live.js";
import { Field } from "../parts/field.js";
import { percent } from "../format.js";

export function Explain({ query }) {
  const { told } = useDesk();
  useLive({ limit: 1 }, told); // so that the shell knows whether turnout is there
  const [url, setUrl] = useState(query.url ?? "");
  const [found, setFound] = useState(null);
  const { act, isBusy, refusal } = useAction(async (asked) => {
    setFound(null);
    setFound(await get(`/v1/explain?url=${encodeURIComponent(asked)}`));
  });
  useEffect(() => { if (query.url) act(query.url); }, []);
  const submit = (event) => { event.preventDefault(); act(url); };
  return html`
    <div class="title"><h1>Explain</h1></div>
    <p class="lead">Which revision would answer a request, and why.</p>
    <form class="ask" onSubmit=${submit}>
      <${Field} label="URL of a request" value=${url} onInput=${setUrl} inputmode="url"
        placeholder="http://shop.localhost/" wrong=${refusal ? [refusal.message] : []} />
      <button class="main" disabled=${isBusy || !url}>Explain</button>
    </form>
    ${found && html`<${Answer} found=${found} />`}`;
}

function Answer({ found }) {
  const { app, because, answer, revisions } = found;
  return html`
    <section class="panel" aria-live="polite" aria-label="Explanation">
      <p>${app ? html`App <a href=${`#/apps/${app}`}>${app}</a>: ${because}.` : html`<code>${found.host}</code> is not the host of an app.`}</p>
      ${answer && html`<p class="words bad">Answered ${answer.status} <code>${answer.code}</code>: ${answer.message}</p>`}
      ${revisions.length > 0 && html`
        <div class="scroll"><table aria-label="Chances">
          <thead><tr><th scope="col">Revision</th><th scope="col" class="n">Chance</th><th scope="col" class="n">Weight</th><th scope="col">Why</th></tr></thead>
          <tbody>${revisions.map((r) => html`
            <tr key=${r.name}><th scope="row"><a href=${`#/apps/${app}/revisions/${r.name}`}>${r.name}</a></th>
              <td class="n" data-of="Chance">${percent(r.chance)}</td><td class="n" data-of="Weight">${r.weight}</td><td data-of="Why">${r.why}</td></tr>`)}
          </tbody></table></div>`}
    </section>`;
}

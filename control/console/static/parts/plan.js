// What a change would do, as the API's dry run says.
import { html } from "../html.js";
import { moved } from "../weights.js";
import { short } from "../format.js";

export function Plan({ plan }) {
  if (!plan) return null;
  const { before, after } = plan.traffic;
  const share = moved(before, after);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((n) => before[n] !== after[n]);
  const isNothing = !plan.changes.length && !names.length;
  return html`
    <div class="plan">
      ${isNothing && html`<p>Nothing would change.</p>`}
      ${names.length > 0 && html`
        <p><b>${share} of 100 users</b> would be answered by another revision.</p>
        <ul class="moves">${names.map((n) => html`<li key=${n}><b>${short(n)}</b> ${before[n] ?? 0} % → ${after[n] ?? 0} %</li>`)}</ul>`}
      <${Lines} title="Activated" lines=${plan.activates} />
      <${Lines} title="Deactivated" lines=${plan.deactivates} />
      <${Lines} title="Hosts that appear" lines=${plan.hosts.appear} />
      <${Lines} title="Hosts that vanish" lines=${plan.hosts.vanish} />
      ${plan.changes.length > 0 && html`<details><summary>In words of the API</summary>
        <ul>${plan.changes.map((line) => html`<li key=${line}>${line}</li>`)}</ul></details>`}
      ${plan.warnings.map((line) => html`<p key=${line} class="words busy">${line}</p>`)}
    </div>`;
}

const Lines = ({ title, lines }) =>
  lines.length > 0 && html`<p>${title}: ${lines.map((l, i) => html`${i ? ", " : ""}<code>${l}</code>`)}</p>`;

// A field with its label, and what is wrong with it beneath.
import { html, useId } from "../html.js";

export function Field({ label, wrong = [], hint, onInput, kind = "input", children, ...rest }) {
  const id = useId();
  const isWrong = wrong.length > 0;
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <${kind} id=${id} aria-invalid=${isWrong} aria-describedby=${`${id}-said`}
        onInput=${(e) => onInput(e.currentTarget.value)} ...${rest}>${children}<//>
      <div id=${`${id}-said`}>
        <${Wrong} lines=${wrong} />
        ${hint && html`<p class="hint">${hint}</p>`}
      </div>
    </div>`;
}

export const Wrong = ({ lines }) =>
  lines.length > 0 && html`<ul class="wrong" role="alert">${lines.map((l) => html`<li key=${l}>${l}</li>`)}</ul>`;

export const Refused = ({ refusal }) =>
  refusal && html`<${Wrong} lines=${refusal.beside ? refusal.beside() : [refusal.message]} />`;

// The mode, and what a switch to another one would do.
import { html, useEffect, useState } from "../html.js";
import { at, call, tryOut } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { Dialog } from "./dialog.js";
import { Field, Refused } from "./field.js";
import { Plan } from "./plan.js";

const MODES = {
  single: "One revision serves. A deploy takes over when it is ready, and the old one rests.",
  multiple: "Several revisions serve, each with its weight.",
  labels: "Each deploy goes to a label; labels have weights.",
};

export function Mode({ app }) {
  const { canWrite } = useDesk();
  const [isOpen, setOpen] = useState(false);
  const mode = app.configuration.activeRevisionsMode.toLowerCase();
  if (!canWrite) return html`<span class="tag">${mode} mode</span>`;
  return html`<button aria-haspopup="dialog" onClick=${() => setOpen(true)}>Mode: ${mode}</button>
    ${isOpen && html`<${Switch} app=${app} mode=${mode} onClose=${() => setOpen(false)} />`}`;
}

function Switch({ app, mode, onClose }) {
  const { say } = useDesk();
  const [wanted, setWanted] = useState(mode);
  const [label, setLabel] = useState("");
  const [plan, setPlan] = useState(null);
  const path = `${at("apps", app.name)}/mode`;
  const body = wanted === "labels" && label ? { mode: wanted, targetLabel: label } : { mode: wanted };
  const tried = useAction(async () => setPlan(await tryOut("PUT", path, body)));
  useEffect(() => { setPlan(null); tried.forget(); if (wanted !== mode) tried.act(); }, [wanted, label]);
  const done = useAction(async () => {
    await call("PUT", path, body);
    say(`${app.name} is in ${wanted} mode.`);
    onClose();
  });
  return html`
    <${Dialog} title=${`Mode of ${app.name}`} onClose=${onClose}>
      <fieldset><legend>Mode</legend>
        ${Object.entries(MODES).map(([name, text]) => html`<label class="choice" key=${name}>
          <input type="radio" name="mode" value=${name} checked=${wanted === name} onChange=${() => setWanted(name)} />
          <span><b>${name}</b> ${text}</span></label>`)}
      </fieldset>
      ${wanted === "labels" && mode !== "labels" && html`<${Field} label="Label of what serves now" value=${label} onInput=${setLabel} />`}
      <${Plan} plan=${plan} /><${Refused} refusal=${done.refusal ?? tried.refusal} />
      <footer><button class="main" disabled=${wanted === mode || done.isBusy} onClick=${done.act}>Switch</button></footer>
    <//>`;
}

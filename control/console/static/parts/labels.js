// The label of a revision (one at most): a link to what it names, and a way to another revision.
import { html, useEffect, useState } from "../html.js";
import { at, call, tryOut } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { urlOf } from "../format.js";
import { Dialog } from "./dialog.js";
import { Field, Refused } from "./field.js";
import { Plan } from "./plan.js";

export function Labels({ app, row, all, port }) {
  const { canWrite } = useDesk();
  const [moving, setMoving] = useState(null);
  const [isAdding, setAdding] = useState(false);
  return html`
    <div class="labels">
      ${row.labels.map((label) => {
        const url = row.labelHosts ? urlOf(row.labelHosts[label], port) : undefined;
        return html`<span class="label" key=${label}>
          <a href=${url} aria-label=${url} rel="noreferrer">${label}</a>
          ${canWrite && html`<button aria-label=${`Move label ${label}`} title="Move" onClick=${() => setMoving(label)}>⇄</button>`}
        </span>`;
      })}
      ${canWrite && row.active && !row.labels.length && app.configuration.ingress && html`<button class="quiet plus" title="Add a label"
        aria-label=${`Add label to ${row.name}`} onClick=${() => setAdding(true)}>+</button>`}
    </div>
    ${moving && html`<${Move} app=${app} label=${moving} from=${row} all=${all} onClose=${() => setMoving(null)} />`}
    ${isAdding && html`<${Add} app=${app} row=${row} onClose=${() => setAdding(false)} />`}`;
}

function Move({ app, label, from, all, onClose }) {
  const { say } = useDesk();
  const others = all.filter((r) => r.name !== from.name);
  const [target, setTarget] = useState(others[0]?.name ?? "");
  const [swapWith, setSwap] = useState("");
  const [plan, setPlan] = useState(null);
  const path = at("apps", app.name, "labels", label);
  const theirs = others.find((r) => r.name === target)?.labels ?? [];
  const tried = useAction(async () => setPlan(await tryOut("PUT", path, { revision: target })));
  useEffect(() => { setPlan(null); setSwap(theirs[0] ?? ""); if (target) tried.act(); }, [target]);
  const done = useAction(async () => {
    if (swapWith) await call("POST", `${at("apps", app.name)}/labels/swap`, { first: label, second: swapWith });
    else await call("PUT", path, { revision: target });
    say(swapWith ? `Labels ${label} and ${swapWith} have changed places.` : `Label ${label} names ${target}.`);
    onClose();
  });
  const removed = useAction(async () => {
    await call("DELETE", path);
    say(`Label ${label} is removed.`);
    onClose();
  });
  return html`
    <${Dialog} title=${`Move label ${label}`} onClose=${onClose}>
      <p>It names <b>${from.name}</b> now. Weights stay as they are.</p>
      ${others.length > 0 && html`<${Field} kind="select" label="Revision" value=${target} onInput=${setTarget}>
        ${others.map((r) => html`<option key=${r.name} value=${r.name}>${r.name}</option>`)}<//>`}
      ${theirs.length > 0 && html`<${Field} kind="select" label="Its label" value=${swapWith} onInput=${setSwap}>
        ${theirs.map((other) => html`<option key=${other} value=${other}>${other} comes here</option>`)}
        <option value="">${theirs.join(", ")} is dropped</option><//>`}
      ${!swapWith && html`<${Plan} plan=${plan} />`}
      <${Refused} refusal=${done.refusal ?? removed.refusal ?? tried.refusal} />
      <footer><button class="quiet" disabled=${removed.isBusy} onClick=${removed.act}>Remove label</button><span class="grow"></span>
        <button class="main" disabled=${done.isBusy || !target} onClick=${done.act}>${swapWith ? "Swap" : "Move"}</button></footer>
    <//>`;
}

function Add({ app, row, onClose }) {
  const { say } = useDesk();
  const [label, setLabel] = useState("");
  const { act, isBusy, refusal } = useAction(async () => {
    await call("PUT", at("apps", app.name, "labels", label), { revision: row.name });
    say(`Label ${label} names ${row.name}.`);
    onClose();
  });
  return html`
    <${Dialog} title=${`Add a label to ${row.name}`} onClose=${onClose}>
      <form onSubmit=${(e) => { e.preventDefault(); act(); }}>
        <${Field} label="Label" value=${label} onInput=${setLabel} wrong=${refusal ? refusal.beside() : []}
          hint="It gets a host of its own, and can move from revision to revision." />
        <footer><button class="main" disabled=${isBusy || !label}>Add</button></footer>
      </form>
    <//>`;
}

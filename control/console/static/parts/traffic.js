// The split: as it is configured, as it is observed, and as it would become.
import { html, useEffect, useState } from "../html.js";
import { at, call, tryOut } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { percent, short } from "../format.js";
import { rebalanced, rulesOf } from "../weights.js";
import { Plan } from "./plan.js";
import { Refused } from "./field.js";
import { Bar } from "./split.js";

const SETTLED_MS = 350; // after the last key or move of a slider, the preview follows by itself

const now = (active) => Object.fromEntries(active.map((r) => [r.name, r.trafficWeight]));

// Weights being edited: null while they are those that hold.
export function useDraft(app, active) {
  const [draft, setDraft] = useState(null);
  const mode = app.configuration.activeRevisionsMode.toLowerCase();
  const holds = now(active);
  const weights = draft ? { ...Object.fromEntries(active.map((r) => [r.name, 0])), ...draft.weights } : holds;
  const isEdited = draft !== null && Object.keys(weights).some((n) => weights[n] !== holds[n]);
  const set = (name, value) => {
    const before = draft?.set ?? [];
    const next = rebalanced(weights, name, value, before);
    setDraft({ weights: next, set: [...before.filter((n) => n !== name), name] });
  };
  return {
    weights, isEdited, set,
    key: JSON.stringify([weights, draft?.set]), // what `set` starts from
    reset: () => setDraft(null),
    isEditable: mode !== "single" && Boolean(app.configuration.ingress) && active.length > 0,
  };
}

export function Traffic({ app, active, rates, colour, draft }) {
  const { canWrite } = useDesk();
  if (!app.configuration.ingress || !active.length) return null;
  const holds = active.map((r) => [r.name, r.trafficWeight]).reverse();
  const observed = active.map((r) => [r.name, 100 * (rates?.revisions?.[r.name]?.[4] ?? 0)]).reverse();
  const isAsked = observed.some(([, n]) => n > 0);
  return html`
    <section class="panel traffic" aria-labelledby="split">
      <header><h2 id="split">Traffic</h2>
        ${!draft.isEditable && html`<span class="hint">Single mode: the latest ready revision has all of it.</span>`}</header>
      <div class="bars">
        <span>Configured</span><${Bar} parts=${holds} colour=${colour} label="Configured" />
        <span>Observed</span>${isAsked
          ? html`<${Bar} parts=${observed} colour=${colour} label="Observed" />`
          : html`<div class="split none">no requests now</div>`}
        ${draft.isEdited && html`<span>New</span>
          <${Bar} parts=${active.map((r) => [r.name, draft.weights[r.name]]).reverse()} colour=${colour} label="New" />`}
      </div>
      ${canWrite && draft.isEditable && html`<${Editor} app=${app} draft=${draft} />`}
    </section>`;
}

function Editor({ app, draft }) {
  const { say } = useDesk();
  const [plan, setPlan] = useState(null);
  const path = `${at("apps", app.name)}/traffic`;
  const body = async () => {
    const { traffic, latestServes } = await call("GET", path);
    return { traffic: rulesOf(traffic, draft.weights, latestServes) };
  };
  const tried = useAction(async () => setPlan(await tryOut("PUT", path, await body())));
  const applied = useAction(async () => {
    await call("PUT", path, await body());
    const told = Object.entries(draft.weights).filter(([, n]) => n).map(([n, w]) => `${short(n)} ${w} %`);
    say(`Traffic of ${app.name}: ${told.join(", ")}.`);
    draft.reset();
  });
  const key = draft.isEdited ? JSON.stringify(draft.weights) : "";
  useEffect(() => {
    setPlan(null);
    tried.forget();
    applied.forget();
    if (!key) return undefined;
    const timer = setTimeout(tried.act, SETTLED_MS);
    return () => clearTimeout(timer);
  }, [key]);
  const sum = Object.values(draft.weights).reduce((a, b) => a + b, 0);
  return html`
    <div class="editor">
      <div class="row">
        <span class="sum">Sum <b>${percent(sum / 100)}</b></span>
        <button disabled=${tried.isBusy || !draft.isEdited} onClick=${tried.act}>Preview</button>
        <button class="main" disabled=${applied.isBusy || !draft.isEdited} onClick=${applied.act}>Apply</button>
        ${draft.isEdited && html`<button class="quiet" onClick=${draft.reset}>Reset</button>`}
        ${!draft.isEdited && html`<span class="hint">Change a weight below; the others make room.</span>`}
      </div>
      <div aria-live="polite"><${Plan} plan=${plan} /></div>
      <${Refused} refusal=${applied.refusal ?? tried.refusal} />
    </div>`;
}

// "Create a revision from this one": what differs is sent as a merge patch on its template.
import { html, useEffect, useState } from "../html.js";
import { at, call, get } from "../api.js";
import { useAction, useDesk } from "../desk.js";
import { Dialog } from "./dialog.js";
import { Field, Refused, Wrong } from "./field.js";

// The API's names of what each field is about.
const NAMES = {
  suffix: ["revisionSuffix"], image: ["image"], env: ["env"], min: ["minReplicas", "scale"], max: ["maxReplicas"], label: ["targetLabel"],
};

export function Copy({ app, row, onClose }) {
  const { say } = useDesk();
  const path = at("apps", app.name, "revisions", row.name);
  const [from, setFrom] = useState(null);
  const [form, setForm] = useState(null);
  const opened = useAction(async () => {
    const { template } = await get(path);
    setFrom(template);
    setForm(formOf(template));
  });
  useEffect(() => { opened.act(); }, []);
  const made = useAction(async () => {
    const before = app.latestRevisionName;
    const answer = await call("POST", `${path}/copy`, patchOf(from, form));
    say(answer.latestRevisionName === before ? "Nothing is new: the revision exists." : `${answer.latestRevisionName} is on its way.`);
    onClose();
  });
  const isLabels = app.configuration.activeRevisionsMode.toLowerCase() === "labels";
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const wrong = (name) => made.refusal?.about?.(...NAMES[name]) ?? [];
  const beside = made.refusal?.beside ? made.refusal.beside(...Object.values(NAMES).flat()) : [];
  return html`
    <${Dialog} title=${`Copy ${row.name}`} onClose=${onClose} wide>
      <${Refused} refusal=${opened.refusal} />
      ${form && html`<form onSubmit=${(e) => { e.preventDefault(); made.act(); }}>
        <div class="pair">
          <${Field} label="Suffix" value=${form.suffix} onInput=${set("suffix")} wrong=${wrong("suffix")}
            placeholder="made up if empty" />
          <${Field} label="Image" value=${form.image} onInput=${set("image")} wrong=${wrong("image")} />
          <${Field} label="Least replicas" type="number" min="0" max="1000" value=${form.min} onInput=${set("min")} wrong=${wrong("min")} />
          <${Field} label="Most replicas" type="number" min="1" max="1000" value=${form.max} onInput=${set("max")} wrong=${wrong("max")} />
          ${isLabels && html`<${Field} label="Target label" value=${form.label} onInput=${set("label")} wrong=${wrong("label")} />`}
        </div>
        <${Field} kind="textarea" rows="4" label="Environment" value=${form.env} onInput=${set("env")} wrong=${wrong("env")}
          hint="NAME=VALUE, or NAME=secretref:SECRET, a line each." spellcheck="false" />
        <${Diff} lines=${differences(from, form)} />
        <${Wrong} lines=${beside} />
        <footer><button class="main" disabled=${made.isBusy}>Create revision</button></footer>
      </form>`}
    <//>`;
}

const told = ({ name, value, secretRef }) => (secretRef ? `${name}=secretref:${secretRef}` : `${name}=${value ?? ""}`);
const envOf = (template) => (template.containers[0].env ?? []).map(told).join("\n");

function formOf(template) {
  const { containers: [{ image }], scale = {} } = template;
  return { suffix: "", image, env: envOf(template), min: String(scale.minReplicas ?? 0), max: String(scale.maxReplicas ?? 10), label: "" };
}

function variable(line) {
  const [name, ...rest] = line.split("=");
  const value = rest.join("=");
  return value.startsWith("secretref:") ? { name: name.trim(), secretRef: value.slice(10) } : { name: name.trim(), value };
}

function patchOf(template, form) {
  const before = formOf(template);
  const [first, ...others] = template.containers;
  const env = form.env.split("\n").filter((l) => l.trim()).map(variable);
  const patch = { revisionSuffix: form.suffix || null };
  if (form.image !== before.image || form.env !== before.env) {
    patch.containers = [{ ...first, image: form.image, env }, ...others];
  }
  if (form.min !== before.min || form.max !== before.max) {
    patch.scale = { minReplicas: Number(form.min), maxReplicas: Number(form.max) };
  }
  return form.label ? { ...patch, targetLabel: form.label } : patch;
}

function differences(template, form) {
  const before = formOf(template);
  const names = { image: "image", min: "minReplicas", max: "maxReplicas" };
  const changed = Object.entries(names).filter(([k]) => form[k] !== before[k])
    .map(([k, name]) => [name, before[k], form[k]]);
  const lines = (text) => new Map(text.split("\n").filter((l) => l.trim()).map((l) => [l.split("=")[0], l]));
  const [old, now] = [lines(before.env), lines(form.env)];
  for (const name of new Set([...old.keys(), ...now.keys()])) {
    if (old.get(name) !== now.get(name)) changed.push(["env", old.get(name), now.get(name)]);
  }
  return changed;
}

const Diff = ({ lines }) => html`
  <div class="plan" aria-live="polite">
    ${lines.length === 0 && html`<p>The template is the same: with a suffix it is made again under that name.</p>`}
    ${lines.map(([what, old, now]) => html`<p key=${what + old + now}><code>${what}</code> ${old !== undefined && html`<del>${old}</del>`} ${now !== undefined && html`<ins>${now}</ins>`}</p>`)}
  </div>`;

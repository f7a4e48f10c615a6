// Weights as a bar; each revision keeps its colour as long as the page is open.
import { html } from "../html.js";
import { short } from "../format.js";

const COLOURS = 8;
const given = new Map(); // app -> revision -> number of its colour

// Oldest first, so that a new revision takes the next colour and changes nobody else's.
export function coloured(app, names) {
  const mine = given.get(app) ?? given.set(app, new Map()).get(app);
  for (const name of names) if (!mine.has(name)) mine.set(name, mine.size % COLOURS);
  return (name) => `c${mine.get(name) ?? 0}`;
}

export function Bar({ parts, colour, label, thin }) {
  const shown = parts.filter(([, n]) => n > 0);
  const words = shown.map(([name, n]) => `${short(name)} ${Math.round(n)} %`).join(", ") || "nothing";
  return html`
    <div class="split ${thin ? "thin" : ""}" role="img" aria-label="${label}: ${words}">
      ${shown.map(([name, n]) => html`
        <span key=${name} class=${colour(name)} style=${{ flexGrow: n }}>
          ${!thin && n >= 5 && html`<b>${short(name)}</b> ${Math.round(n)} %`}</span>`)}
    </div>`;
}

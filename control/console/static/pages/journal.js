import { html } from "../html.js";
import { Records } from "../parts/records.js";

export function Journal({ query }) {
  return html`<div class="title"><h1>Journal</h1></div>
    <${Records} app=${query.app ?? ""} />`;
}

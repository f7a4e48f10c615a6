// A dialog of the browser's own: it keeps the focus, closes on Escape, and gives the focus back.
import { html, useEffect, useId, useRef } from "../html.js";

export function Dialog({ title, onClose, children, wide }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => { dialog.current.showModal(); }, []);
  const onClick = (event) => { if (event.target === dialog.current) onClose(); };
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${onClose}
      onClick=${onClick}>
      <div class="sheet">
        <header><h2 id=${id}>${title}</h2>
          <button class="quiet" aria-label="Close" onClick=${onClose}>×</button></header>
        ${children}
      </div>
    </dialog>`;
}

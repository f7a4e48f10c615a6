// The output of a replica: its last lines, and what comes.
import { html, useEffect, useRef, useState } from "../html.js";
import { at, follow } from "../api.js";

const MOST = 500; // lines that are kept

export function Log({ app, revision, replica }) {
  const [lines, setLines] = useState([]);
  const [why, setWhy] = useState("");
  const box = useRef(null);
  useEffect(() => {
    const stop = new AbortController();
    const path = `${at("apps", app, "revisions", revision, "replicas", replica)}/logs?tail=100&follow=true`;
    const take = (more) => setLines((old) => [...old, ...more].slice(-MOST));
    follow(path, take, stop.signal).then(
      () => setWhy("The replica has ended."),
      (error) => { if (error.name !== "AbortError") setWhy(error.message); },
    );
    return () => stop.abort();
  }, []);
  useEffect(() => { box.current.scrollTop = box.current.scrollHeight; }, [lines]);
  return html`
    <pre class="log" tabindex="0" ref=${box} role="log" aria-label=${`Log of ${replica}`}>${lines.join("\n") || "No output yet."}</pre>
    ${why && html`<p class="hint">${why}</p>`}`;
}

// The shell: who is signed in, which page the address names, and what was done last.
import { html, render, useCallback, useEffect, useErrorBoundary, useState } from "./html.js";
import { signIn, signOut, whenSignedOut, whoAmI } from "./api.js";
import { Overview } from "./pages/overview.js";
import { AppPage } from "./pages/app.js";
import { Journal } from "./pages/journal.js";
import { Explain } from "./pages/explain.js";
import { SignIn } from "./pages/signin.js";
import { Desk } from "./desk.js";

const PAGES = [
  [/^\/$/, Overview, () => ({})],
  [/^\/apps\/([^/]+)$/, AppPage, ([, app]) => ({ app })],
  [/^\/apps\/([^/]+)\/revisions\/([^/]+)$/, AppPage, ([, app, revision]) => ({ app, revision })],
  [/^\/journal$/, Journal, () => ({})],
  [/^\/explain$/, Explain, () => ({})],
];

function place() {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  for (const [pattern, page, props] of PAGES) {
    const match = path.match(pattern);
    if (match) {
      const named = Object.fromEntries(new URLSearchParams(query));
      const given = props(match.map(decodeURIComponent));
      return { path, page, key: given.app ?? pattern.source, props: { ...given, query: named } };
    }
  }
  return { path, page: Overview, key: "", props: { query: {} } };
}

const SAID_MS = 8000;

function Shell() {
  const [session, setSession] = useState(undefined); // undefined: not asked yet, null: nobody
  const [here, setHere] = useState(place);
  const [link, setLink] = useState("connecting");
  const [server, setServer] = useState({});
  const [said, setSaid] = useState(null);
  const [broken] = useErrorBoundary();

  useEffect(() => {
    const move = () => setHere(place());
    addEventListener("hashchange", move);
    whenSignedOut(() => setSession(null));
    enter().then(setSession, () => setSession(null));
    return () => removeEventListener("hashchange", move);
  }, []);

  const told = useCallback((state, greeting) => {
    if (state === "signed out") return setSession(null);
    setLink(state);
    if (greeting) setServer((known) => reloadIfOther(known, greeting));
    return undefined;
  }, []);
  const say = useCallback((text, tone = "ok") => setSaid({ text, tone, at: Date.now() }), []);
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(null), said.tone === "bad" ? SAID_MS * 2 : SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  if (broken) return html`<${Broken} error=${broken} />`;
  if (session === undefined) return null;
  if (session === null) return html`<${SignIn} whenDone=${setSession} />`;
  const leave = () => signOut().then(() => setSession(null));
  const desk = { canWrite: session.role === "write", server, told, say };
  return html`
    <${Desk.Provider} value=${desk}>
      <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
      <header class="bar">
        <a class="brand" href="#/"><${Mark} />turnout</a>
        <nav aria-label="Pages">
          <${Tab} to="/" here=${here.path} also="/apps">Apps<//>
          <${Tab} to="/journal" here=${here.path}>Journal<//>
          <${Tab} to="/explain" here=${here.path}>Explain<//>
        </nav>
        <span class="grow"></span>
        <span class="link ${link}" role="status">${LINKS[link]}</span>
        ${!desk.canWrite && html`<span class="tag">read only</span>`}
        ${session.name && html`<span class="who">${session.name}</span>`}
        <button class="quiet" onClick=${leave}>Sign out</button>
      </header>
      <main id="main" tabindex="-1"><${here.page} key=${here.key} ...${here.props} /></main>
      <div class="said" role="status" aria-live="polite">
        ${said && html`<p class=${said.tone} key=${said.at}>${said.text}
          <button class="quiet" aria-label="Dismiss" onClick=${() => setSaid(null)}>×</button></p>`}
      </div>
    <//>`;
}

// A mistake of ours: what is on the screen may be out of date, so nothing stays on it.
const Broken = ({ error }) => html`
  <main class="door" id="main"><h1>turnout</h1><p class="problem" role="alert">The console failed: ${error.message}</p>
    <button class="main" onClick=${() => location.reload()}>Load it again</button></main>`;

const LINKS = { live: "Live", connecting: "Connecting", lost: "Connection lost, trying again" };

// A link with a code signs in once; the code leaves the address before anything else happens.
async function enter() {
  const code = location.hash.match(/^#code=([\w-]+)$/)?.[1];
  if (code) {
    history.replaceState(null, "", location.pathname);
    const who = await signIn({ code }).catch(() => null);
    if (who) return who;
  }
  return whoAmI();
}

// After an upgrade the files are others: what is loaded may not fit what the server says.
function reloadIfOther(known, greeting) {
  if (known.console && known.console !== greeting.console) location.reload();
  return greeting;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Tab({ to, here, also, children }) {
  const isHere = here === to || (also && here.startsWith(also));
  return html`<a href=${`#${to}`} aria-current=${isHere ? "page" : undefined}>${children}</a>`;
}

const Mark = () => html`
  <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" class="plate" />
    <path d="M5 21h22M11 21c6 0 8-10 16-10" class="rails" />
    <circle cx="11" cy="21" r="2.6" class="point" />
  </svg>`;

render(html`<${Shell} />`, document.getElementById("root"));

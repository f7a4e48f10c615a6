// One stream of events per page. Each event is the whole truth, so a lost connection costs nothing
// but time: the browser comes back with the id of what it knows.
import { useEffect, useState } from "./html.js";
import { at, eventsAt, get, whoAmI } from "./api.js";

const AGAIN_MS = 2000;
const EMPTY = { state: null, gone: false, rates: null };

const isMissing = (app) => get(at("apps", app)).then(() => false, (refusal) => refusal.status === 404);

// `told` hears of the connection ("live", "lost") and of the server's greeting.
export function useLive(query, told) {
  const [seen, setSeen] = useState(EMPTY);
  const key = JSON.stringify(query);
  useEffect(() => {
    let source = null;
    let timer = 0;
    let isOver = false;
    const take = (change) => setSeen((old) => ({ ...old, ...change }));
    const open = () => {
      source = new EventSource(eventsAt(query));
      source.addEventListener("hello", (e) => told("live", JSON.parse(e.data)));
      for (const kind of ["app", "apps"]) {
        source.addEventListener(kind, (e) => take({ state: JSON.parse(e.data), gone: false }));
      }
      source.addEventListener("gone", () => take({ gone: true }));
      source.addEventListener("rates", (e) => take({ rates: { at: Date.now(), ...JSON.parse(e.data) } }));
      source.onerror = async () => {
        told("lost");
        if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
        source.close();
        const why = await whoAmI().then((who) => (who ? null : { status: 401 }), (refusal) => refusal);
        if (isOver) return;
        if (why?.status === 401) told("signed out");
        else if (why === null && query.app) take({ gone: await isMissing(query.app) });
        timer = setTimeout(open, AGAIN_MS);
      };
    };
    setSeen(EMPTY);
    open();
    return () => { isOver = true; clearTimeout(timer); source.close(); };
  }, [key]);
  return seen;
}

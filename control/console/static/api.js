// Calls of the API. A refusal is thrown with its sentences, so that a form can show them.

const KEEP = "turnout-session"; // the proof beside the cookie: it belongs to this origin alone

// A refusal of one thing has no details: its code, or the path its sentence begins with, say of what.
const FIELDS = { ContainerAppInvalidRevisionName: "revisionSuffix" };
const PATH = /^([\w.[\]]+): /;

export class Refusal extends Error {
  constructor(status, { code, message, details }) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details?.length ? details : [{ message, target: FIELDS[code] ?? message.match(PATH)?.[1] }];
  }

  // The sentences about a field, by any name of it in the path that the API gives.
  about(...names) {
    return this.details.filter((d) => isAbout(d, names)).map((d) => d.message);
  }

  // The sentences that no field shows.
  beside(...names) {
    return this.details.filter((d) => !isAbout(d, names)).map((d) => d.message);
  }
}

const isAbout = ({ target }, names) =>
  (target ?? "").split(/[.[\]]+/).some((part) => names.includes(part));

let onSignedOut = () => {};
export const whenSignedOut = (doing) => { onSignedOut = doing; };

const proof = () => localStorage.getItem(KEEP) ?? "";
const sent = (body) => ({
  "X-Turnout-Session": proof(),
  "X-Turnout-User": "console",
  ...(body === undefined ? {} : { "Content-Type": "application/json" }),
});

async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, headers: sent(body), credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { code: "Unreachable", message: "turnout does not answer." });
  }
  if (answer.status === 401 && path !== "/v1/session") onSignedOut();
  return answer;
}

export async function call(method, path, body, signal) {
  const answer = await ask(method, path, body, signal);
  if (answer.status === 204) return null;
  const value = await answer.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return {};
  });
  if (answer.ok) return value;
  const unknown = { code: "Unknown", message: `turnout answered ${answer.status}.` };
  throw new Refusal(answer.status, value.error ?? unknown);
}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const at = (...parts) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

// What a change would do to an app.
export async function tryOut(method, path, body, signal) {
  const { apps } = await call(method, `${path}?dryRun=true`, body, signal);
  return Object.values(apps)[0] ?? null;
}

// Lines of text as they come, until the signal says stop.
export async function follow(path, onLine, signal) {
  const answer = await ask("GET", path, undefined, signal);
  if (!answer.ok) throw new Refusal(answer.status, (await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    onLine(lines);
  }
}

export async function signIn(given) {
  const { proof: mine, ...who } = await call("POST", "/v1/session", given);
  localStorage.setItem(KEEP, mine);
  return who;
}

export async function signOut() {
  await call("DELETE", "/v1/session").catch(() => {});
  localStorage.removeItem(KEEP);
}

export const whoAmI = () => (proof() ? get("/v1/session") : Promise.resolve(null));
export const eventsAt = (query) => `/v1/events?${new URLSearchParams({ ...query, session: proof() })}`;

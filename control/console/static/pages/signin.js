import { html, useState } from "../html.js";
import { signIn } from "../api.js";
import { useAction } from "../desk.js";
import { Field } from "../parts/field.js";

export function SignIn({ whenDone }) {
  const [token, setToken] = useState("");
  const { act, isBusy, refusal } = useAction(async () => whenDone(await signIn({ token })));
  const submit = (event) => { event.preventDefault(); act(); };
  return html`
    <main class="door" id="main">
      <h1>turnout</h1>
      <form onSubmit=${submit}>
        <${Field} label="Token" type="password" value=${token} autocomplete="current-password"
          onInput=${setToken} wrong=${refusal ? [refusal.message] : []} />
        <button class="main" disabled=${isBusy || !token}>Sign in</button>
      </form>
      <p class="hint"><code>turnout console</code> prints a link that signs in by itself. The token
        is in the file <code>token</code> of the server's state directory, or in its token file.</p>
    </main>`;
}

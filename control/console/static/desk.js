// What every part may need: whether changes are allowed, the server, and how to say what was done.
import { createContext, useContext, useState } from "./html.js";

export const Desk = createContext({ canWrite: false, server: {}, told: () => {}, say: () => {} });
export const useDesk = () => useContext(Desk);

// An action of a button: busy while it runs, its refusal kept beside it until the next attempt.
export function useAction(doing) {
  const [isBusy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState(null);
  const act = async (...args) => {
    setBusy(true);
    setRefusal(null);
    try {
      return await doing(...args);
    } catch (error) {
      setRefusal(error);
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { act, isBusy, refusal, forget: () => setRefusal(null) };
}

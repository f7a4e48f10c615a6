// What every file draws with: Preact, its hooks, and htm for markup inside JavaScript.
import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { createContext, render } from "./vendor/preact.js";
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useMemo, useRef, useState,
} from "./vendor/hooks.js";
export const html = htm.bind(h);

/**
 * While the page is printed it is laid out for the paper (`.printing` in base.css) and light, and all drawings are made
 * anew for that before the browser takes its picture: it does so without letting time pass, so observers come too late.
 */
import { flushSync } from "svelte";
import { theme } from "./theme.svelte";

let isOn = $state(false);
const readers = new Set<() => void>();

export const printing = {
  /** What is far from the screen is on the paper all the same. */
  get isOn() {
    return isOn;
  },
};

/** As an attachment: tells how wide an element is, now and whenever that changes, for the paper too. */
export function room(set: (pixels: number) => void): (element: HTMLElement) => () => void {
  return (element) => {
    const read = () => set(element.clientWidth);
    const observer = new ResizeObserver(read);
    read();
    observer.observe(element);
    readers.add(read);
    return () => {
      observer.disconnect();
      readers.delete(read);
    };
  };
}

function turn(on: boolean): void {
  isOn = on;
  document.documentElement.classList.toggle("printing", on);
  theme.onPaper(on);
  flushSync();
  for (const read of readers) read();
  flushSync();
}

/** Call once. */
export function startPrinting(): void {
  addEventListener("beforeprint", () => turn(true));
  addEventListener("afterprint", () => turn(false));
}

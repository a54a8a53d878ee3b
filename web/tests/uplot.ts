/** In the place of uPlot: counts what is made and what is put into it, and draws nothing. */
export const made: Plot[] = [];

export default class Plot {
  static pxRatio = 1;
  over = document.createElement("div");
  select = { left: 0, top: 0, width: 0, height: 0 };
  data: unknown[][];
  updates = 0;
  left = -10;
  isDestroyed = false;

  constructor(
    readonly options: Record<string, never>,
    data: unknown[][],
    root: HTMLElement,
  ) {
    this.data = data;
    root.append(this.over);
    made.push(this);
  }
  setData(data: unknown[][]) {
    this.data = data;
    this.updates++;
  }
  setCursor({ left }: { left: number }) {
    this.left = left;
  }
  setSelect() {}
  valToPos = (x: number) => x;
  posToVal = (x: number) => x;
  destroy() {
    this.isDestroyed = true;
  }
}

/** The time, for ages on the screen; it moves every ten seconds. */
let now = $state(Date.now());
setInterval(() => (now = Date.now()), 10_000);

export const clock = {
  get now() {
    return now;
  },
};

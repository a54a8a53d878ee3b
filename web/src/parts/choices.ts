/** At most `most` choices that hold every word of the text; those that begin with it come first. */
export function filterChoices<C extends { value: string; note?: string }>(choices: C[], text: string, most: number): C[] {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return choices.slice(0, most);
  const starts: C[] = [];
  const others: C[] = [];
  for (const choice of choices) {
    const whole = `${choice.value} ${choice.note ?? ""}`.toLowerCase();
    if (!words.every((word) => whole.includes(word))) continue;
    (choice.value.toLowerCase().startsWith(words[0]!) ? starts : others).push(choice);
  }
  return [...starts, ...others].slice(0, most);
}

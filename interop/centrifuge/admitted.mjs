// What clients with tokens prove: who they are, what they may, for how long.

export function admitted() {
  return {};
}

// The tokens of a completion, each with its log-probability and advantage; recorded with rollout.record_tokens.

const QUANTITIES = [
  {name: "logps", title: "log-probability when sampled"},
  {name: "old_logps", title: "log-probability before the update"},
  {name: "advantages", title: "advantage"},
];

// Likely tokens are white, unlikely ones red; positive advantages green, negative ones red.
function tint(quantity, value, largest) {
  if (value === null || value === undefined) return "transparent";
  if (quantity !== "advantages") return `rgba(194, 87, 26, ${Math.min(1, -value / 5).toFixed(3)})`;
  const strength = (0.6 * Math.abs(value) / (largest || 1)).toFixed(3);
  return value > 0 ? `rgba(58, 125, 68, ${strength})` : `rgba(194, 60, 60, ${strength})`;
}

function tokenSpans(tokens, quantity) {
  const values = tokens[quantity] || [];
  const largest = Math.max(0, ...values.map((value) => Math.abs(value ?? 0)));
  return tokens.texts.map((text, place) => {
    const lines = QUANTITIES.filter(({name}) => tokens[name]).map(({name, title}) => `${title}: ${figure(tokens[name][place])}`);
    const given = tokens.sampled && !tokens.sampled[place];
    const title = [`token ${place}: id ${tokens.ids ? tokens.ids[place] : "?"}`, given ? "not sampled by the policy" : null, ...lines];
    const style = `background: ${tint(quantity, values[place], largest)}`;
    return element("span", {style, class: given ? "given" : null, title: title.filter(Boolean).join("\n")}, text);
  });
}

function tokenView(tokens) {
  const known = QUANTITIES.filter(({name}) => tokens[name]);
  const shown = element("pre", {class: "tokens", id: "tokens"});
  const show = (quantity) => shown.replaceChildren(...tokenSpans(tokens, quantity));
  const choice = element("select", {id: "quantity", onchange: () => show(choice.value)}, ...known.map(({name, title}) => element("option", {value: name}, title)));
  show(known.length ? known[0].name : null);
  return [
    element("h2", {}, `${figure(tokens.texts.length)} tokens`),
    known.length ? element("div", {class: "controls"}, element("label", {}, "colour by ", choice)) : element("p", {class: "quiet"}, "Their log-probabilities are not known."),
    shown,
  ];
}

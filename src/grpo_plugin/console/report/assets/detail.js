// One completion: its prompt, scores and tokens, and all other completions of the same prompt over time.

const LISTED = 200;  // completions of the same prompt

async function showDetail(row) {
  const {index} = browser, text = await textOf(row);
  if (row !== browser.chosen) return;
  const facts = {
    step: index.step[row], reward: figure(index.reward[row]),
    advantage: figure(index.advantage[row]), length: figure(index.length[row]),
    ...Object.fromEntries(Object.entries({...text.scores, ...text.facts}).map(([name, value]) => [name, typeof value === "number" ? figure(value) : value])),
  };
  byId("detail").replaceChildren(
    element("h2", {}, "Prompt"), element("pre", {}, browser.prompts[index.prompt[row]]),
    element("h2", {}, "Completion"), element("pre", {id: "completion"}, text.completion || "(empty)"),
    ...(text.turns || []).flatMap(({who, text: said}) => [element("h2", {class: "turn"}, who), element("pre", {}, said || "(empty)")]),
    ...(text.answer === null ? [] : [element("h2", {}, "Answer"), element("pre", {}, text.answer)]),
    ...(text.tokens ? tokenView(text.tokens) : []),
    element("h2", {}, "Figures"),
    table(Object.entries(facts).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [name, String(value)])),
    ...(await samePrompt(row)),
  );
}

function rowsOfPrompt(prompt) {
  const found = [];
  for (let row = 0; row < rowsOfRun(); row++) if (browser.index.prompt[row] === prompt) found.push(row);
  return found.sort((one, other) => browser.index.step[one] - browser.index.step[other] || one - other);
}

async function samePrompt(row) {
  const rows = rowsOfPrompt(browser.index.prompt[row]);
  const chart = element("div", {id: "prompt-chart"});
  const texts = await Promise.all(rows.slice(0, LISTED).map(textOf));
  const listed = texts.map((text, place) => {
    const other = rows[place];
    const cells = [figure(browser.index.step[other]), figure(browser.index.reward[other]), oneLine(text.completion, 90)];
    return element("tr", {class: other === row ? "on" : null, onclick: () => choose(other)}, ...cells.map((cell) => element("td", {}, cell)));
  });
  requestAnimationFrame(() => document.contains(chart) && drawPrompt(chart, rows));
  return [
    element("h2", {}, `The same prompt over time: ${figure(rows.length)} completions`), chart,
    element("table", {class: "history"}, element("tbody", {}, ...listed)),
    rows.length > LISTED ? element("p", {class: "quiet"}, `The first ${LISTED} are listed.`) : null,
  ].filter(Boolean);
}

function drawPrompt(chart, rows) {
  const {step, reward} = browser.index;
  const byStep = new Map();
  for (const row of rows) if (!Number.isNaN(reward[row])) byStep.set(step[row], [...(byStep.get(step[row]) || []), reward[row]]);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  Plotly.react(chart, [
    {x: rows.map((row) => step[row]), y: rows.map((row) => reward[row]), mode: "markers", name: "each", marker: {color: COLOURS[0], opacity: 0.35}},
    {x: [...byStep.keys()], y: [...byStep.values()].map(mean), mode: "lines+markers", name: "mean", line: {color: COLOURS[1]}},
  ], {...LAYOUT, height: 200, margin: {l: 46, r: 10, t: 10, b: 34}, xaxis: {title: {text: "step"}}, yaxis: {title: {text: "reward"}}}, CONFIG);
}

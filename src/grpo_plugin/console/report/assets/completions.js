// The completions of one run: filtered, sorted, fifty to a view.

const SHOWN = 50;
const COLUMNS = [
  {name: "step", title: "step", width: "64px"},
  {name: "reward", title: "reward", width: "80px"},
  {name: "advantage", title: "advantage", width: "96px"},
  {name: "length", title: "length", width: "74px"},
  {title: "prompt"},
  {title: "completion"},
];
const browser = {report: null, run: 0, index: null, prompts: [], order: [], first: 0, sort: "step", down: false, matches: null, chosen: null};

async function loadRun(number) {
  const {columns} = browser.report.runs[number].completions;
  browser.run = number;
  browser.index = Object.fromEntries(await Promise.all(columns.map(async (name) => [name, await numbers(`index-${number}-${name}`)])));
  browser.prompts = await json(`prompts-${number}`);
  browser.matches = null;
  byId("search").value = "";
  byId("holds").textContent = browser.report.runs[number].completions.sentence + " Texts are unpacked when they are shown.";
  setSteps();
}

function rowsOfRun() {
  return browser.report.runs[browser.run].completions.rows;
}

// The steps of the chosen split; the slider's 0 is all of them.
function setSteps() {
  const split = byId("split").value, {step, validation} = browser.index;
  const found = new Set();
  for (let row = 0; row < rowsOfRun(); row++) if (split === "all" || validation[row] === Number(split)) found.add(step[row]);
  browser.steps = [...found].sort((one, other) => one - other);
  byId("step").max = browser.steps.length;
  byId("step").value = 0;
  filter();
}

function filter() {
  const {index} = browser, split = byId("split").value, cut = byId("only-truncated").checked;
  const place = Number(byId("step").value), step = place ? browser.steps[place - 1] : null;
  byId("step-name").textContent = step === null ? "all" : `${step} (${place} of ${browser.steps.length})`;
  const order = [];
  for (let row = 0; row < rowsOfRun(); row++) {
    if (split !== "all" && index.validation[row] !== Number(split)) continue;
    if (step !== null && index.step[row] !== step) continue;
    if (cut && !index.truncated[row]) continue;
    if (browser.matches && !browser.matches.has(row)) continue;
    order.push(row);
  }
  browser.order = sorted(order);
  browser.first = 0;
  return showTable();
}

// Completions without the figure come last, whichever way it is sorted.
function sorted(rows) {
  const values = browser.index[browser.sort], sign = browser.down ? -1 : 1;
  return rows.sort((one, other) => {
    const [a, b] = [values[one], values[other]];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b) || one - other;
    return sign * (a - b) || one - other;
  });
}

async function textOf(row) {
  const size = browser.report.runs[browser.run].completions.page;
  return (await page(browser.run, Math.floor(row / size)))[row % size];
}

async function showTable() {
  const rows = browser.order.slice(browser.first, browser.first + SHOWN);
  const ticket = (browser.ticket = (browser.ticket || 0) + 1);
  const texts = await Promise.all(rows.map(textOf));
  if (ticket !== browser.ticket) return;  // a newer view has been asked for
  byId("table").tBodies[0].replaceChildren(...rows.map((row, place) => tableRow(row, texts[place])));
  const total = browser.order.length;
  byId("place").textContent = total ? `${figure(browser.first + 1)} to ${figure(browser.first + rows.length)} of ${figure(total)}` : "none";
  byId("previous").disabled = browser.first === 0;
  byId("next").disabled = browser.first + SHOWN >= total;
}

function tableRow(row, text) {
  const {index} = browser;
  const step = index.step[row] + (index.validation[row] ? " val" : "");
  const cells = [step, figure(index.reward[row]), figure(index.advantage[row]), figure(index.length[row]) + (index.truncated[row] ? " ✂" : "")];
  return element(
    "tr", {class: row === browser.chosen ? "on" : null, "data-row": row, onclick: () => choose(row)},
    ...cells.map((cell) => element("td", {class: "number"}, cell)),
    element("td", {class: "text"}, oneLine(browser.prompts[index.prompt[row]])),
    element("td", {class: "text"}, oneLine(text.completion) || "(empty)"),
  );
}

function choose(row) {
  browser.chosen = row;
  for (const shown of byId("table").tBodies[0].rows) shown.classList.toggle("on", Number(shown.dataset.row) === row);
  return showDetail(row);
}

function sortBy(name) {
  browser.down = browser.sort === name ? !browser.down : name !== "step";
  browser.sort = name;
  showHead();
  return filter();
}

function showHead() {
  const mark = (name) => (browser.sort === name ? (browser.down ? " ↓" : " ↑") : "");
  byId("table").tHead.replaceChildren(element("tr", {}, ...COLUMNS.map(({name, title, width}) => element(
    "th", {class: name ? "sorts" : null, style: width ? `width: ${width}` : null, onclick: () => name && sortBy(name)}, title + mark(name || " "),
  ))));
}

async function showCompletions(report) {
  browser.report = report;
  byId("run").replaceChildren(...report.runs.map((run, number) => element("option", {value: number}, run.name)));
  byId("run").addEventListener("change", () => loadRun(Number(byId("run").value)));
  byId("split").addEventListener("change", setSteps);
  byId("step").addEventListener("input", filter);
  byId("only-truncated").addEventListener("change", filter);
  byId("previous").addEventListener("click", () => { browser.first -= SHOWN; showTable(); });
  byId("next").addEventListener("click", () => { browser.first += SHOWN; showTable(); });
  byId("search").addEventListener("change", () => search(byId("search").value));
  showHead();
  await loadRun(0);
}

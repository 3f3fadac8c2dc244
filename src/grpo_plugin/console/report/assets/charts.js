// The curves: a card for each chart, drawn when it comes into view.

const LAYOUT = {
  margin: {l: 56, r: 16, t: 40, b: 38}, height: 300, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
  font: {family: "system-ui, sans-serif", size: 12}, legend: {orientation: "h", y: -0.14, font: {size: 11}},
  hovermode: "x unified",
};
const CONFIG = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"]};
const DASHES = ["solid", "dot", "dash", "dashdot", "longdash"];
const cards = [];

function smoothed(values, span) {
  if (!span) return values;
  const keep = 1 - 2 / (span + 1);
  let total = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    total = keep * total + value;
    weight = keep * weight + 1;
    return total / weight;
  });
}

function xOf(run) {
  const axis = byId("x-axis").value;
  const values = run.series[axis];
  return axis === "seconds" ? values.map((value) => value === null ? null : value / 3600) : values;
}

// The x of a step that may lie between logged ones, such as that of a validation.
function xOfStep(run, step) {
  const x = xOf(run), steps = run.series.steps;
  if (byId("x-axis").value === "steps") return step;
  const place = steps.findIndex((known) => known >= step);
  return step === 0 ? 0 : x[place < 0 ? x.length - 1 : place];
}

// Curves of one run are told apart by colour; of several runs, a run by its colour and a metric by its dash.
function line(report, runNumber, place) {
  const several = report.runs.length > 1;
  return {color: COLOURS[(several ? runNumber : place) % COLOURS.length], dash: several ? DASHES[place % DASHES.length] : "solid", width: 1.8};
}

function named(report, run, name) {
  return report.runs.length > 1 ? `${run.name}: ${name}` : name;
}

function bandTraces(x, low, high, colour) {
  const common = {x, mode: "lines", line: {width: 0}, hoverinfo: "skip", showlegend: false};
  return [{...common, y: low}, {...common, y: high, fill: "tonexty", fillcolor: colour + "22"}];
}

function metricTraces(report, chart) {
  const span = Number(byId("smoothing").value), traces = [];
  report.runs.forEach((run, runNumber) => {
    const x = xOf(run), metrics = run.series.metrics;
    const [low, high] = chart.band.map((name) => metrics[name]);
    if (low && high) traces.push(...bandTraces(x, low, high, line(report, runNumber, 0).color));
    chart.names.forEach((name, place) => {
      if (!metrics[name]) return;
      const y = smoothed(metrics[name], span).map((value) => (chart.log && value === 0 ? null : value));
      const trace = {x, y, name: named(report, run, name), mode: y.length > 1 ? "lines" : "markers", line: line(report, runNumber, place), connectgaps: true};
      if (chart.stacked && report.runs.length === 1) Object.assign(trace, {stackgroup: "all", line: {...trace.line, width: 0.5}});
      traces.push(trace);
    });
  });
  return traces;
}

function validationTraces(report) {
  const traces = [];
  report.runs.forEach((run, runNumber) => run.validations.forEach((curve, place) => {
    const x = curve.steps.map((step) => xOfStep(run, step)), style = line(report, runNumber, place);
    if (curve.low.every((value) => value !== null)) traces.push(...bandTraces(x, curve.low, curve.high, style.color));
    traces.push({x, y: curve.values, name: named(report, run, curve.name), mode: "lines+markers", line: style});
  }));
  return traces;
}

function layoutOf(chart) {
  return {
    ...LAYOUT,
    title: {text: chart.title, x: 0.02, xanchor: "left", font: {size: 14}},
    xaxis: {gridcolor: "#eef0f4", zeroline: false},
    yaxis: {
      title: {text: chart.unit, font: {size: 11}}, gridcolor: "#eef0f4", zeroline: false, automargin: true, type: chart.log ? "log" : "linear",
      exponentformat: "power", ...(chart.share ? {tickformat: ".0%", rangemode: "tozero"} : {}),
    },
  };
}

function draw(card) {
  card.drawn = true;
  return Plotly.react(card.element, card.traces(), layoutOf(card.chart), CONFIG);
}

// Charts that have come into view are drawn one by one, so that the page answers in between.
const waiting = [];
let drawing = false;

async function drawWaiting() {
  drawing = true;
  while (waiting.length) {
    await draw(waiting.shift());
    await new Promise((done) => setTimeout(done));
  }
  drawing = false;
  document.body.dataset.ready ||= Math.round(performance.now());
}

function redraw() {
  cards.filter((card) => card.drawn).forEach(draw);
}

// A hidden tab and a closed `details` are never in view, so their charts cost nothing.
const inView = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cards.find((known) => known.element === entry.target);
    if (entry.isIntersecting && !card.drawn && !waiting.includes(card)) waiting.push(card);
  }
  if (!drawing) drawWaiting();
}, {rootMargin: "100px"});

function addCard(folder, chart, traces) {
  const card = {chart, traces, element: element("div", {class: "card", "data-chart": chart.title}), drawn: false};
  cards.push(card);
  byId(folder).append(card.element);
  inView.observe(card.element);
}

function showCharts(report) {
  const charts = [...report.charts];
  const validated = report.runs.find((run) => run.validations.length);
  if (validated) {
    const chart = {title: `Validation: ${validated.metric}`, unit: "mean, 95 % band", log: false, share: false, band: []};
    charts.splice(1, 0, {...chart, validation: true, more: false});
  }
  for (const chart of charts) {
    addCard(chart.more ? "more-charts" : "charts", chart, () => chart.validation ? validationTraces(report) : metricTraces(report, chart));
  }
  byId("more").hidden = !report.charts.some((chart) => chart.more);
  byId("x-axis").addEventListener("change", redraw);
  byId("smoothing").addEventListener("input", () => {
    const span = Number(byId("smoothing").value);
    byId("smoothing-steps").textContent = span ? `over ${span} steps` : "off";
    redraw();
  });
  const averaged = report.runs.filter((run) => run.series.averaged);
  byId("averaged").textContent = averaged.map((run) => `${run.name}: means of ${figure(run.series.averaged)} logged steps`).join("; ");
}

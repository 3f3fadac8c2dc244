// Starts the page when all of the file is read.

const TABS = {curves: "Curves", completions: "Completions", facts: "Recipe and environment", alarms: "Alarms"};

// The first opening of the completions reads their index.
let completionsShown = null;

async function show(tab, report) {
  for (const id of Object.keys(TABS)) byId(id).hidden = id !== tab;
  for (const button of byId("tabs").children) button.classList.toggle("on", button.dataset.tab === tab);
  if (tab === "completions") await (completionsShown ||= showCompletions(report));
}

async function start() {
  const report = await json("report");
  for (const [id, title] of Object.entries(TABS)) byId("tabs").append(element("button", {"data-tab": id, onclick: () => show(id, report)}, title));
  show("curves", report);
  showSummary(report);
  showAlarms(report);
  showFacts(report);
  showCharts(report);
}

document.addEventListener("DOMContentLoaded", start);

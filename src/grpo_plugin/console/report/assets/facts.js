// Recipe, versions, machine; alarms; and the figures at the top.

function showSummary(report) {
  const rows = report.runs.map((run, number) => {
    const {steps, seconds, metrics} = run.series;
    const rewards = (metrics.reward || []).filter((value) => value !== null);
    const held = run.validations.map(({name, values}) => `${name} ${figure(values[0])}` + (values.length > 1 ? ` → ${figure(values.at(-1))}` : ""));
    const name = element("span", {}, element("span", {class: "swatch", style: `background: ${COLOURS[number % COLOURS.length]}`}), run.name);
    return [
      name, steps.length ? figure(steps.at(-1)) : "–", seconds.length ? clock(seconds.at(-1)) : "–",
      rewards.length ? `${figure(rewards[0])} → ${figure(rewards.at(-1))}` : "–", held.join(", ") || "–",
      figure(run.completions.rows), String(run.alarms.length),
    ];
  });
  byId("summary").append(table(rows, ["run", "steps", "time", "reward, first → last", "validation", "completions here", "alarms"]));
}

function showFacts(report) {
  const parts = [];
  if (report.runs.length > 1) {
    parts.push(element("h2", {}, "Where the recipes differ"));
    parts.push(report.differences.length ? table(report.differences.map(([key, values]) => [key, ...values]), ["key", ...report.runs.map((run) => run.name)]) : element("p", {}, "Nowhere."));
  }
  for (const run of report.runs) {
    const {versions, machine, ...others} = run.facts;
    parts.push(element("h2", {}, run.name));
    for (const [title, part] of [[null, others], ["Versions", versions], ["Machine", machine]]) {
      if (!part || !Object.keys(part).length) continue;
      if (title) parts.push(element("h2", {}, title));
      parts.push(table(Object.entries(part).map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") || "none" : String(value)])));
    }
    parts.push(element("h2", {}, "Recipe"), element("pre", {}, run.recipe || "run.json is not in the folder."));
  }
  byId("facts").replaceChildren(...parts);
}

function showAlarms(report) {
  const count = report.runs.reduce((sum, run) => sum + run.alarms.length, 0);
  byId("alarm-count").textContent = count ? `${count} alarm${count > 1 ? "s" : ""} while training: see the tab.` : "";
  const parts = report.runs.flatMap((run) => [
    report.runs.length > 1 ? element("h2", {}, run.name) : null,
    ...run.alarms.map((alarm) => element("div", {class: "alarm"}, element("b", {}, `step ${alarm.step}, ${alarm.kind}: `), `${alarm.figure}. Try: ${alarm.remedy}.`)),
    run.alarms.length ? null : element("p", {class: "quiet"}, "No alarm."),
  ]);
  byId("alarms").replaceChildren(...parts.filter(Boolean));
}

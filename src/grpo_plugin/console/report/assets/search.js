// Search: the prompts and all pages of a run are read for a text, without regard to case.

const AT_ONCE = 8;  // pages that are unpacked side by side

async function search(text) {
  const wanted = text.trim().toLowerCase();
  const ticket = (browser.searched = (browser.searched || 0) + 1);
  if (!wanted) {
    browser.matches = null;
    byId("found").textContent = "";
    return filter();
  }
  const {pages, page: size} = browser.report.runs[browser.run].completions;
  const prompts = new Set(browser.prompts.flatMap((prompt, number) => (prompt.toLowerCase().includes(wanted) ? [number] : [])));
  const matches = new Set();
  for (let first = 0; first < pages; first += AT_ONCE) {
    const numbers = Array.from({length: Math.min(AT_ONCE, pages - first)}, (_, place) => first + place);
    const read = await Promise.all(numbers.map((number) => page(browser.run, number)));
    if (ticket !== browser.searched) return;  // another search has begun
    read.forEach((texts, place) => texts.forEach((text, row) => {
      const number = numbers[place] * size + row;
      if (prompts.has(browser.index.prompt[number]) || text.completion.toLowerCase().includes(wanted)) matches.add(number);
    }));
    byId("found").textContent = `searching ${Math.round((100 * (first + read.length)) / pages)} %`;
  }
  browser.matches = matches;
  byId("found").textContent = `${figure(matches.size)} found`;
  return filter();
}

"use strict";
// The data of the file: base64 of gzip, in script elements that no browser runs.

async function unpacked(name) {
  const packed = document.getElementById("data-" + name).textContent;
  const text = atob(packed);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function json(name) {
  return JSON.parse(new TextDecoder().decode(await unpacked(name)));
}

async function numbers(name) {
  return new Float32Array(await unpacked(name));
}

// The newest pages of text are kept as they are read; a search reads all of them once.
const PAGES_KEPT = 800;
const pagesRead = new Map();

function page(run, number) {
  const name = `page-${run}-${number}`;
  let found = pagesRead.get(name);
  if (found) pagesRead.delete(name);
  else found = json(name);
  pagesRead.set(name, found);
  if (pagesRead.size > PAGES_KEPT) pagesRead.delete(pagesRead.keys().next().value);
  return found;
}

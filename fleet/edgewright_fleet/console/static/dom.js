// Building elements without markup in strings, so that no name of a device becomes markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "width") element.style.width = value;
    else if (name === "grow") element.style.flexGrow = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function table(caption, columns, rows) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.num && "num" }, column.name));
  const body = rows.map((row) =>
    h("tr", { class: row.class }, columns.map((column, index) =>
      h("td", { class: column.num && "num", "data-label": column.name }, row.cells[index] ?? ""))));
  return h("div", { class: "scroll" },
    h("table", { "aria-label": caption }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

export function chip(words, kind = "") {
  return h("span", { class: `chip ${kind}` }, words);
}

export function ago(time) {
  if (!time) return "never";
  const seconds = Math.max(0, (Date.now() - new Date(time)) / 1000);
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  const [unit, size] = units.find(([, length]) => seconds >= length) ?? ["s", 1];
  return h("time", { datetime: time, title: new Date(time).toLocaleString() }, `${Math.floor(seconds / size)} ${unit} ago`);
}

export const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`);
export const share = (value) => (value === null || value === undefined ? "" : `${(value * 100).toFixed(1)} %`);
export const milliseconds = (value) => (value === null || value === undefined ? "" : `${value.toPrecision(3)} ms`);

// What the parts of the page share.
export const LIMITS = { messages: 200, events: 100, members: 500, questions: 3, roundTrips: 40, shownText: 2000 };

export const byId = (id) => document.getElementById(id);
/** Makes an element; what is given as text is never read as HTML. */
export function element(tag, { text, className, node, label, ...properties } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = shortened(text);
  if (className) made.className = className;
  if (node !== undefined) made.dataset.node = node;
  if (label) made.setAttribute('aria-label', label);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

export function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

export function shortened(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value) ?? '';
  return text.length > LIMITS.shownText ? `${text.slice(0, LIMITS.shownText)}…` : text;
}

export function showResult(output, text, kind = '') {
  output.textContent = shortened(text);
  output.className = `result ${kind}`;
}

export function badge(element, text, kind = '') {
  if (element.textContent !== text) element.textContent = text;
  element.className = `${element.className.replace(/ (good|warn|bad)\b/g, '')} ${kind}`.trimEnd();
}

export const clock = () => new Date().toLocaleTimeString([], { hour12: false });

/** Adds to a list that shows the newest at its end, unless someone has scrolled up to read. */
export function append(list, item, limit) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.childElementCount > limit) list.firstElementChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function logEvent(text, client) {
  const parts = [element('time', { text: clock() })];
  if (client) parts.push(element('b', { text: client.id, node: client.node }));
  append(byId('events'), element('li', {}, ...parts, element('span', { text })), LIMITS.events);
}

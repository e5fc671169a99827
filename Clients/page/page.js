// The page of `crossserver demo` and `crossserver serve --page`: one client on each server.
import { badge, byId, element, logEvent } from './dom.js';
import { Client, clients } from './client.js';
import { cluster, presence } from './cluster.js';
import { conversation } from './conversation.js';

const NAMES = ['ada', 'bob', 'cleo', 'dora', 'emil', 'fay'];

function showOverall() {
  const open = clients.filter((client) => client.isOpen).length;
  const kind = open === clients.length ? 'good' : open > 0 ? 'warn' : 'bad';
  badge(byId('overall'), `${open} of ${clients.length} connected`, kind);
}

function updateKnownIds() {
  byId('known').replaceChildren(...clients.map((client) => element('option', { value: client.id })));
}

const listeners = {
  said: (client, payload) => conversation.received(client, payload),
  presenceChanged: (payload) => presence.changed(payload),
  renamed: updateKnownIds,
  ordered: control,
  connectionChanged(client) {
    showOverall();
    presence.watchAgain();
    if (client.isOpen) cluster.refresh();
  },
};

async function control(client, action) {
  logEvent(`${action} ${client.info.name}`);
  try {
    const response = await fetch(`api/nodes/${encodeURIComponent(client.info.name)}/${action}`, { method: 'POST' });
    if (!response.ok) throw new Error((await response.text()) || response.statusText);
    client.update(await response.json());
  } catch (error) {
    logEvent(`cannot ${action} ${client.info.name}: ${error.message}`);
  }
  await refreshNodes();
}

async function refreshNodes() {
  const problem = byId('problem');
  try {
    const response = await fetch('api/nodes');
    if (!response.ok) throw new Error(response.statusText);
    const nodes = await response.json();
    if (clients.length === 0) open(nodes);
    nodes.forEach((node, index) => clients[index]?.update(node));
    problem.hidden = true;
  } catch {
    // The page goes on with what it knows, and tries again soon.
    problem.textContent = 'The server of this page cannot be reached. Is crossserver still running?';
    problem.hidden = false;
  }
}

function open(nodes) {
  const chosen = new URLSearchParams(location.search).get('ids')?.split(',') ?? [];
  const suffix = Math.random().toString(36).slice(2, 5);
  for (const [index, node] of nodes.entries()) {
    const id = chosen[index] || `${NAMES[index % NAMES.length]}-${suffix}`;
    clients.push(new Client(index, node, id, listeners));
  }
  if (nodes.length === 1) byId('tagline').textContent = `One page, one client on ${nodes[0].name}.`;
  for (const client of clients) client.logIn(client.id);
}

function setUpTheme() {
  const button = byId('theme');
  const themes = ['system', 'light', 'dark'];
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = localStorage.getItem('theme');
  if (!themes.includes(theme)) theme = 'system';
  apply(theme);
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    localStorage.setItem('theme', theme);
    apply(theme);
  });
}

function onSubmit(id, action) {
  byId(id).addEventListener('submit', (event) => {
    event.preventDefault();
    action(event.submitter?.value);
  });
}

setUpTheme();
byId('messages').hidden = true;
byId('scopes').addEventListener('change', () => conversation.scopeChanged());
onSubmit('composer', () => conversation.send());
onSubmit('find', (kind) => cluster.find(kind));
onSubmit('ask', () => cluster.ask());
onSubmit('watch', () => presence.watch(byId('watch-room').value.trim()));
byId('count').addEventListener('click', () => presence.count());
refreshNodes().then(() => presence.watch('lobby'));
setInterval(refreshNodes, 1500);
setInterval(() => { if (!document.hidden) cluster.refresh(); }, 2000);

import { LIMITS, byId, duration, element, shortened, showResult } from './dom.js';
import { anyClient, nodeOf } from './client.js';
import { conversation } from './conversation.js';

function silent(missing) {
  return missing?.length ? `; no answer from ${missing.map(({ server, reason }) => `${server} (${reason})`).join(', ')}` : '';
}

/** What the servers know together. */
export const cluster = {
  async refresh() {
    const client = anyClient();
    const hint = byId('cluster-hint');
    if (!client) return void (hint.textContent = 'no client is connected');
    try {
      const { servers, originalServers } = await client.request('cluster');
      hint.textContent = originalServers > 0 ? `and ${originalServers} servers of the original` : `as ${client.info.name} sees it`;
      byId('servers').replaceChildren(...servers.map((server) => this.row(server)));
    } catch (error) {
      hint.textContent = '';
      byId('servers').replaceChildren(element('tr', {}, element('td', { text: error.message, className: 'none', colSpan: 5 })));
    }
  },

  row({ name, uptime, connections, rooms, links }) {
    const cells = [name, duration(uptime), connections, rooms, links?.length ?? 0];
    return element('tr', { node: nodeOf(name) }, ...cells.map((text, index) => {
      return element('td', { text: String(text), title: index === 4 ? String(links) : '' });
    }));
  },

  async find(kind) {
    const id = byId('find-id').value.trim();
    const output = byId('find-result');
    try {
      const asker = conversation.speaker.isOpen ? conversation.speaker : anyClient() ?? conversation.speaker;
      if (kind === 'kick') {
        const { disconnected, missing } = await asker.request('kick', { id, reason: 'kicked from the page' });
        const text = disconnected > 0 ? `${id} was disconnected` : `${id} is nowhere`;
        showResult(output, text + silent(missing), disconnected > 0 ? 'good' : '');
      } else {
        const { connections, missing } = await asker.request('whereIs', { id });
        const places = connections.map(({ server, connectedFor }) => `${server}, for ${duration(connectedFor)}`);
        showResult(output, `${id} is ${places.length ? `on ${places.join(' and ')}` : 'nowhere'}${silent(missing)}`, places.length ? 'good' : '');
      }
    } catch (error) {
      showResult(output, error.message, 'bad');
    }
  },

  async ask() {
    const id = byId('ask-id').value.trim();
    const output = byId('ask-result');
    showResult(output, `waiting for ${id} …`);
    try {
      const { answer } = await conversation.speaker.request('askClient', { id, text: byId('ask-text').value }, 35_000);
      showResult(output, `${id} answers: ${shortened(answer)}`, 'good');
    } catch (error) {
      showResult(output, error.message, 'bad');
    }
  },
};

/** Who is in a room, on whichever server. */
export const presence = {
  room: null,
  /** The client whose server tells about changes. */
  watcher: null,
  members: new Map(),

  async watch(room) {
    const client = anyClient();
    const output = byId('watch-result');
    try {
      if (this.room && this.room !== room && this.watcher?.isOpen) await this.watcher.request('unwatchRoom', { roomId: this.room });
      this.room = room;
      this.watcher = client;
      if (!client) return showResult(output, 'no client is connected');
      const { members, missing } = await client.request('watchRoom', { roomId: room });
      if (this.room !== room) return;
      this.members = new Map(Object.entries(members));
      showResult(output, silent(missing));
      this.show();
    } catch (error) {
      showResult(output, error.message, 'bad');
    }
  },

  /** Another client takes over when the connection that watched has ended. */
  watchAgain() {
    if (this.room && !this.watcher?.isOpen) this.watch(this.room);
  },

  async count() {
    const output = byId('watch-result');
    const room = byId('watch-room').value.trim();
    try {
      if (!anyClient()) throw new Error('no client is connected');
      const { count, servers, missing } = await anyClient().request('countRoom', { roomId: room });
      const parts = Object.entries(servers).map(([server, number]) => `${server} ${number}`);
      showResult(output, `${count} in ${room}${parts.length ? `: ${parts.join(', ')}` : ''}${silent(missing)}`, 'good');
    } catch (error) {
      showResult(output, error.message, 'bad');
    }
  },

  changed({ roomId, joined, left } = {}) {
    if (roomId !== this.room) return;
    for (const id of left ?? []) this.members.delete(id);
    for (const [id, server] of Object.entries(joined ?? {})) this.members.set(id, server);
    this.show();
  },

  show() {
    byId('presence-count').textContent = `${this.room}: ${this.members.size}`;
    byId('members').replaceChildren(...[...this.members].sort().slice(0, LIMITS.members).map(([id, server]) => {
      return element('li', { className: 'member', node: nodeOf(server) }, element('span', { text: `${id} ` }), element('b', { text: server }));
    }));
  },
};

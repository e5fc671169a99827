import { LIMITS, append, byId, clock, element, fromTemplate, shortened, showResult } from './dom.js';
import { clients } from './client.js';

/** What the clients say to each other. */
export const conversation = {
  /** The messages that are shown, by their ids. */
  shown: new Map(),
  sent: 0,
  scopes: {
    broadcast: { label: 'Everyone', describe: () => 'to everyone', fields: () => ({}) },
    toRoom: { label: 'Room', describe: (to) => `to room ${to}`, fields: (to) => ({ roomId: to }) },
    toPlayer: { label: 'Client id', describe: (to) => `to ${to}`, fields: (to) => ({ toPlayerId: to }) },
    toPlayers: {
      label: 'Ids, with commas',
      describe: (to) => `to ${to}`,
      fields: (to) => ({ toPlayerIds: to.split(',').map((id) => id.trim()).filter(Boolean) }),
    },
  },

  get speaker() { return clients[Number(document.querySelector('[name=speaker]:checked')?.value ?? 0)]; },
  get scope() { return document.querySelector('[name=scope]:checked').value; },

  scopeChanged() {
    const target = byId('target');
    const isForAll = this.scope === 'broadcast';
    byId('target-label').textContent = this.scopes[this.scope].label;
    target.disabled = isForAll;
    target.required = !isForAll;
    target.placeholder = isForAll ? 'all clients' : '';
    if (isForAll) target.value = '';
  },

  async send() {
    const { speaker, scope } = this;
    const to = byId('target').value.trim();
    const input = byId('text');
    const text = input.value;
    const { describe, fields } = this.scopes[scope];
    const msg = { id: `${speaker.id}-${Date.now()}-${this.sent++}`, from: speaker.id, to: describe(to), text };
    const output = byId('composer-result');
    this.show(msg, performance.now());
    input.value = '';
    input.focus();
    try {
      await speaker.request('command', { action: scope, msg, ...fields(to) });
      showResult(output, '');
    } catch (error) {
      if (input.value === '') input.value = text;
      showResult(output, `Not sent: ${error.message}`, 'bad');
    }
  },

  /** A message from another page or program may be anything. */
  received(client, { action, msg } = {}) {
    const known = typeof msg?.id === 'string' ? this.shown.get(msg.id) : undefined;
    const row = known ?? this.show({
      id: typeof msg?.id === 'string' ? msg.id : undefined,
      from: typeof msg?.from === 'string' ? msg.from : 'someone',
      to: typeof msg?.to === 'string' ? msg.to : String(action ?? ''),
      text: typeof msg?.text === 'string' ? msg.text : msg,
    });
    const receipt = row.receipts[clients.indexOf(client)];
    receipt.classList.add('got');
    const time = row.sentAt === undefined ? '' : ` ${(performance.now() - row.sentAt).toFixed(1)} ms`;
    receipt.querySelector('span').textContent = `${client.id}${time}`;
  },

  show({ id, from, to, text }, sentAt) {
    const item = fromTemplate('message-template');
    const sender = clients.find((client) => client.id === from);
    if (sender) item.dataset.node = sender.node;
    item.querySelector('.from').textContent = shortened(from);
    item.querySelector('.scope').textContent = shortened(to);
    item.querySelector('time').textContent = clock();
    item.querySelector('.text').textContent = shortened(text);
    const receipts = clients.map((client) => {
      return element('li', { className: 'receipt', node: client.node }, element('i'), element('span', { text: client.id }));
    });
    item.querySelector('.receipts').append(...receipts);
    const row = { receipts, sentAt };
    if (id) this.shown.set(id, row);
    if (this.shown.size > LIMITS.messages) this.shown.delete(this.shown.keys().next().value);
    byId('messages-empty').hidden = true;
    byId('messages').hidden = false;
    append(byId('messages'), item, LIMITS.messages);
    return row;
  },
};

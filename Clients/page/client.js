import { LIMITS, element, byId, fromTemplate, logEvent, shortened, badge } from './dom.js';

/** Close codes after which the server does not want this client back. */
const FINAL_CLOSES = { 4010: 'logged out by force', 4011: 'id refused', 4012: 'replaced by another login' };

/** The clients of the page, one for each server. */
export const clients = [];

/** A client that is connected, whichever. */
export const anyClient = () => clients.find((client) => client.isOpen);

/** The number of a server's colour. */
export const nodeOf = (name) => clients.find((client) => client.info.name === name)?.node;

/** One client of the page, on one server, with its card. */
export class Client {
  /** What a person calls it; the connection has the id that it was opened with. */
  id;
  connector = null;
  /** Joined again after each reconnection: a server forgets the rooms of a connection that has ended. */
  rooms = new Set();
  roundTrips = [];

  /**
   * @param {object} listeners `said`, `presenceChanged`, `connectionChanged`, `renamed` and `ordered` (stop, kill or
   *   start of the server)
   */
  constructor(index, info, id, listeners) {
    this.listeners = listeners;
    this.node = index % 3;
    this.id = id;
    this.card = fromTemplate('node-template');
    this.card.dataset.node = this.node;
    this.part = (className) => this.card.querySelector(`.${className}`);
    this.part('node-name').textContent = info.name;
    this.part('id').value = id;
    this.part('identity').addEventListener('submit', (event) => {
      event.preventDefault();
      this.logIn(this.part('id').value.trim());
    });
    this.part('join').addEventListener('submit', (event) => {
      event.preventDefault();
      const input = this.part('room');
      this.join(input.value.trim());
      input.value = '';
    });
    this.part('actions').setAttribute('aria-label', `Control of ${info.name}`);
    this.pill = element('input', { type: 'radio', name: 'speaker', value: String(index), checked: index === 0 });
    this.pillText = element('span', { text: id });
    byId('speakers').append(element('label', { node: this.node }, this.pill, this.pillText));
    byId('nodes').append(this.card);
    this.update(info);
  }

  get isOpen() { return this.connector?.isOpen ?? false; }

  /** Shows what the page's server says about this client's server. */
  update(info) {
    this.info = info;
    const kind = { running: 'good', starting: 'warn', stopping: 'warn', killed: 'bad', failed: 'bad' }[info.state];
    badge(this.part('node-state'), info.state, kind);
    const group = this.part('actions');
    if (group.childElementCount === 0 && info.actions.length > 0) {
      for (const [action, label] of [['stop', 'Stop'], ['kill', 'Kill'], ['start', 'Start']]) {
        const button = element('button', { type: 'button', text: label, label: `${label} ${info.name}` });
        button.dataset.action = action;
        button.classList.toggle('danger', action === 'kill');
        button.addEventListener('click', () => this.listeners.ordered(this, action));
        group.append(button);
      }
    }
    for (const button of group.children) button.disabled = !info.actions.includes(button.dataset.action);
  }

  logIn(id) {
    if (!id) return;
    this.connector?.manualClose();
    this.id = id;
    this.pillText.textContent = id;
    this.roundTrips = [];
    const url = new URL(this.info.url, location.href);
    url.protocol = url.protocol.replace(/^http/, 'ws');
    const connector = new WebSocketConnector({
      url: url.href,
      customParams: { id },
      pingInterval: 1000,
      fastReconnectInterval: 700,
      fastReconnectThreshold: 10,
      reconnectMaxInterval: 4000,
    });
    this.connector = connector;
    // Events of a connector that was replaced are of no interest any more.
    const on = (event, listener) => connector.on(event, (...values) => {
      return this.connector === connector ? listener(...values) : undefined;
    });
    this.show('connecting', 'warn');
    on('open', () => this.opened());
    on('close', (close) => this.closed(close));
    on('reconnect', ({ repeat, timeout }) => {
      this.show(`reconnecting: attempt ${repeat} in ${(timeout / 1000).toFixed(1)} s`, 'warn');
    });
    on('pong', (milliseconds) => this.roundTrip(milliseconds));
    on('pong-timeout', () => logEvent('no heartbeat: the connection is given up', this));
    on('say', (payload) => this.listeners.said(this, payload));
    on('presence', (payload) => this.listeners.presenceChanged(payload));
    on('question', (payload) => this.asked(payload));
    this.listeners.renamed(this);
  }

  opened() {
    this.show('connected', 'good');
    logEvent(`connected to ${this.info.name}`, this);
    for (const room of this.rooms) this.join(room);
  }

  closed({ code, reason }) {
    const why = FINAL_CLOSES[code];
    logEvent(`connection ended: ${code}${reason ? ` ${reason}` : ''}${why ? ` (${why})` : ''}`, this);
    this.showRoundTrip(null);
    if (why) {
      this.show(`${why} (${code})`, 'bad');
    } else {
      this.connector.reconnect();
    }
  }

  show(text, kind) {
    this.part('status-text').textContent = text;
    this.part('status-text').title = text;
    this.part('lamp').className = `lamp ${kind}`;
    this.listeners.connectionChanged(this);
  }

  roundTrip(milliseconds) {
    this.roundTrips.push(milliseconds);
    if (this.roundTrips.length > LIMITS.roundTrips) this.roundTrips.shift();
    this.showRoundTrip(milliseconds);
  }

  showRoundTrip(milliseconds) {
    this.part('rtt').textContent = milliseconds === null ? '–' : `${Math.round(milliseconds * 10) / 10} ms`;
    const highest = Math.max(2, ...this.roundTrips);
    const points = this.roundTrips.map((value, index) => {
      const x = 100 - (this.roundTrips.length - 1 - index) * (100 / (LIMITS.roundTrips - 1));
      return `${x.toFixed(1)},${(23 - (value / highest) * 22).toFixed(1)}`;
    });
    this.card.querySelector('polyline').setAttribute('points', points.join(' '));
  }

  /** Sends a request and returns its reply; throws an error for people. */
  async request(event, payload, callbackTimeout = 5000) {
    if (!this.isOpen) throw new Error(`${this.id} is not connected`);
    const result = await this.connector.emitWithPromise(event, payload, { callbackTimeout });
    if (!result.success) {
      throw new Error(result.errorCode === 'UNKNOWN_EVENT' ? `${this.info.name} does not offer that` : result.error);
    }
    if (result.data?.error) throw new Error(shortened(result.data.error?.message ?? result.data.error));
    return result.data;
  }

  async join(room) {
    if (!room) return;
    try {
      await this.request('joinRoom', { roomId: room });
      if (!this.rooms.has(room)) logEvent(`joined ${room}`, this);
      this.rooms.add(room);
    } catch (error) {
      logEvent(`cannot join ${room}: ${error.message}`, this);
    }
    this.showRooms();
  }

  async leave(room) {
    this.rooms.delete(room);
    this.showRooms();
    try {
      await this.request('leaveRoom', { roomId: room });
      logEvent(`left ${room}`, this);
    } catch (error) {
      logEvent(`cannot leave ${room}: ${error.message}`, this);
    }
  }

  showRooms() {
    this.part('chips').replaceChildren(...[...this.rooms].map((room) => {
      const button = element('button', { type: 'button', text: '×', label: `Leave ${room}` });
      button.addEventListener('click', () => this.leave(room));
      return element('li', { className: 'chip' }, element('span', { text: room, title: room }), button);
    }));
  }

  /** The server passes on a question of another client; what is returned becomes the answer. */
  asked(payload) {
    const list = this.part('questions');
    if (list.childElementCount >= LIMITS.questions) {
      throw new WebSocketConnector.RequestFailure('BUSY', `${this.id} is busy with other questions`);
    }
    const form = fromTemplate('question-template');
    form.querySelector('.question-text').textContent = shortened(payload?.text ?? '');
    list.append(form);
    logEvent(`is asked: ${shortened(payload?.text ?? '')}`, this);
    return new Promise((resolve) => {
      const late = setTimeout(() => { form.remove(); resolve('no answer'); }, 30_000);
      form.addEventListener('submit', (event) => {
        event.preventDefault();
        clearTimeout(late);
        form.remove();
        resolve(form.querySelector('input').value);
      });
    });
  }
}

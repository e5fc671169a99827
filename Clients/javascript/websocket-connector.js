/**
 * WebSocketConnector: a WebSocket client with named events, replies, a heartbeat and reconnection.
 *
 * Works as a script tag (global `WebSocketConnector`), with `require`, and with `import` through
 * `websocket-connector.mjs`. No dependencies; before Node 22 it needs a WebSocket class, such as that of `ws`.
 */
(function (root, define) {
  'use strict';
  if (typeof module === 'object' && module.exports) {
    module.exports = define();
    module.exports.WebSocketConnector = module.exports;
  } else {
    root.WebSocketConnector = define();
  }
})(globalThis, function () {
  'use strict';

  /** The events of the connector itself. No server can raise one. */
  const SYSTEM_EVENTS = new Set([
    'open', 'close', 'error', 'message', 'ping', 'pong', 'pong-timeout', 'repeat-limit', 'reconnect',
  ]);

  const DURATIONS = {
    pingInterval: 10_000,
    pongTimeout: 2_000,
    fastReconnectInterval: 3_000,
    reconnectMaxInterval: 120_000,
    callbackTimeout: 5_000,
    pendingTimeout: 100,
    connectTimeout: 10_000,
    closeTimeout: 2_000,
  };

  const COUNTS = {
    fastReconnectThreshold: 3,
    maximumPendingRequests: 1_024,
    maximumWaitingBytes: 16 * 1_024 * 1_024,
  };

  const LONGEST_TIMER = 2 ** 31 - 1;
  const LONGEST_ID = 64;
  const OPEN = 1;
  /** A connection that has lasted so many milliseconds has shown that the server is well: attempts count anew. */
  const HOLD_TIME = 30_000;
  /** The longest time in milliseconds that a server can ask for: a mistake must not keep clients away for days. */
  const LONGEST_ASKED = 3_600_000;
  /** How often a connection is looked at within `pongTimeout`, for anything that has come. */
  const LOOKS = 4;
  /** Not authenticated: coming back needs another login. */
  const AUTHENTICATION_FAILED = 4011;
  const BY_HAND = { code: 4001, reason: 'client manual close', wasClean: false };
  const NO_PONG = { code: 4002, reason: 'pong timeout', wasClean: false };
  const ABNORMAL = { code: 1006, reason: '', wasClean: false };

  const NOT_OPEN = { error: 'WebSocket is not open', errorCode: 'WS_NOT_OPEN' };
  const CONNECTION_CLOSED = { error: 'the connection has ended', errorCode: 'CONNECTION_CLOSED' };
  const OUTBOUND_FULL = {
    error: 'the server reads more slowly than messages are sent; send fewer, or later',
    errorCode: 'OUTBOUND_FULL',
  };

  const INTERNAL_ERROR = { code: 'INTERNAL_ERROR', message: 'the request failed' };

  /** Thrown by a listener to answer a request of the server with a failure that the server may see. */
  class RequestFailure extends Error {
    /**
     * @param {string} code what a program can act on
     * @param {string} message what a person can read
     */
    constructor(code, message) {
      super(message);
      this.name = 'RequestFailure';
      this.code = code;
    }
  }

  class WebSocketConnector {
    static RequestFailure = RequestFailure;

    #options;
    #url;
    #socket = null;
    /** A connection that was given up, until the server has answered our Close frame. */
    #abandoned = null;
    /**
     * `connecting`, `open`, `closing` (our Close frame is under way), `waiting` (for the next attempt),
     * `disconnected` (closed, and nobody asked for a new connection yet), `exhausted` (the repeat limit) or `finished`.
     */
    #state = 'connecting';
    #reconnectsAfterClose = false;
    /** Attempts to connect again since the last connection that has held. */
    #attempts = 0;
    #isReconnecting = false;
    /** Whether the server has refused the client: then the next wait is the longest. */
    #isRefused = false;
    /** Milliseconds that the server has asked to wait before the next attempt. */
    #asked = 0;
    #openedAt = 0;
    #timers = new Map();
    #listeners = new Map();
    /** The requests whose replies are awaited, by their callback id. */
    #pending = new Map();
    #requestCount = 0;
    /** Requests of the server that listeners work on. */
    #answering = 0;
    /** When the heartbeat was sent whose echo is awaited. */
    #heartbeatSentAt = null;
    #messageCount = 0;

    /**
     * Connects at once, and keeps trying until it succeeds.
     *
     * @param {object} options all times in milliseconds
     * @param {string} options.url `ws://…` or `wss://…`
     * @param {object} [options.customParams] added to the query of the URL
     * @param {number} [options.pingInterval=10000] time between heartbeats
     * @param {number} [options.pongTimeout=2000] how long nothing may come while the echo of a heartbeat is awaited
     * @param {string} [options.pingMsg=''] the text of a heartbeat; the server's must be the same
     * @param {number} [options.fastReconnectThreshold=3] attempts that come at the fast interval; then the wait doubles
     * @param {number} [options.fastReconnectInterval=3000] every wait is shortened by a random share of up to a half
     * @param {number} [options.reconnectMaxInterval=120000] the longest wait between attempts
     * @param {number|null} [options.repeatLimit=null] attempts, without a connection that lasts, before it gives up
     * @param {number} [options.callbackTimeout=5000] how long a reply may take
     * @param {number} [options.pendingTimeout=100] how long a reply may take before `onPending` is called
     * @param {number} [options.connectTimeout=10000] how long an attempt to connect may take
     * @param {number} [options.closeTimeout=2000] how long a closing connection waits for its end
     * @param {number} [options.maximumPendingRequests=1024] requests that may wait for their reply, and requests of the
     *   server that may wait for a listener
     * @param {number} [options.maximumWaitingBytes=16777216] bytes that may wait to be sent
     * @param {string|string[]} [options.subprotocols] offered to the server
     * @param {Function} [options.WebSocket] the class to use: the global one, else that of the package `ws`
     * @throws {TypeError|RangeError} for an option that makes no sense
     * @throws {Error} what the WebSocket class throws: `SyntaxError` for a URL that cannot be connected to
     */
    constructor(options) {
      this.#options = checkedOptions(options);
      this.#url = withParameters(options.url, options.customParams);
      this.#connect();
    }

    /** Whether messages can be sent now. */
    get isOpen() {
      return this.#state === 'open' && this.#socket.readyState === OPEN;
    }

    /**
     * Registers a listener of an event of the connector, or of one that the server sends.
     *
     * Listeners run in the order of their registration. What one throws, or its promise rejects with, is logged. When
     * the server asks for a reply, it is the first value that a listener returns, or its promise resolves to.
     *
     * @param {string} event
     * @param {Function} listener
     * @param {string|number} [tag] lets several listeners be removed together
     * @returns {{remove: () => void}} what `off` takes, too
     */
    on(event, listener, tag) {
      return this.#add(event, listener, tag, false);
    }

    /** As `on`, for one time only: the listener is removed before it runs. */
    once(event, listener, tag) {
      return this.#add(event, listener, tag, true);
    }

    /**
     * Removes listeners; they do not run again, also in a pass that is under way.
     *
     * @param {string|{remove: () => void}} event or what `on` has returned
     * @param {Function|string|number} [listenerOrTag] all listeners of the event without it
     */
    off(event, listenerOrTag) {
      if (typeof event?.remove === 'function') return event.remove();
      this.#remove(event, ({ listener, tag }) => listenerOrTag === undefined
        || (typeof listenerOrTag === 'function' ? listener : tag) === listenerOrTag);
    }

    /**
     * Sends an event; with a callback, asks for a reply.
     *
     * @param {string} event
     * @param {*} [data] anything that JSON can hold; left out when undefined
     * @param {(failure: {error: string, errorCode: string}|null, payload: *) => void} [callback] called once, never
     *   before `emit` has returned
     * @param {object} [options]
     * @param {number} [options.callbackTimeout]
     * @param {number} [options.pendingTimeout]
     * @param {() => void} [options.onPending] called once when the reply takes longer than `pendingTimeout`
     * @returns {boolean} whether the message was handed to the connection
     * @throws {TypeError} when `data` cannot be written as JSON
     */
    emit(event, data, callback, options) {
      if (typeof callback === 'function') {
        return this.#request(event, data, options, (failure, payload) => callback(failure, failure ? null : payload));
      }
      return this.#transmit(encoded(event, data)) === null;
    }

    /**
     * Sends an event and awaits the reply.
     *
     * @param {string} event
     * @param {*} [data]
     * @param {object} [options] those of `emit`
     * @returns {Promise<{success: true, data: *} | {success: false, error: string, errorCode: string}>} rejected only
     *   with a `TypeError` when `data` cannot be written as JSON
     */
    emitWithPromise(event, data, options) {
      return new Promise((resolve) => {
        this.#request(event, data, options, (failure, payload) => {
          resolve(failure ? { success: false, ...failure } : { success: true, data: payload });
        });
      });
    }

    /**
     * Connects again: closes an open connection (4001), then waits as after a failure and connects. Does nothing while
     * the connector connects or waits to, and after `manualClose`.
     *
     * @param {boolean} [repeatReset=false] counts attempts from the beginning; a wait under way is replaced by that of
     *   the first attempt, and a connector that has reached its repeat limit begins anew
     */
    reconnect(repeatReset = false) {
      if (this.#state === 'finished') return;
      if (repeatReset) {
        this.#attempts = 0;
        this.#isRefused = false;
        this.#asked = 0;
      }
      // Without a single attempt there is nothing to begin.
      const mayBegin = this.#state === 'waiting' || (this.#state === 'exhausted' && this.#options.repeatLimit !== 0);
      if (this.#state === 'open') {
        this.#closeByHand(true);
      } else if (this.#state === 'disconnected' || (repeatReset && mayBegin)) {
        this.#waitForAttempt();
      }
    }

    /** Whether the connector tries to connect again, or waits to. */
    reconnecting() {
      return this.#isReconnecting;
    }

    /**
     * Changes the time between heartbeats.
     *
     * @param {number} newInterval milliseconds; ignored unless positive
     * @param {boolean} [immediate=false] whether the wait for the next heartbeat begins anew with the new interval
     */
    setPingInterval(newInterval, immediate = false) {
      if (typeof newInterval !== 'number' || !(newInterval > 0)) {
        console.warn('WebSocketConnector: ping interval ignored: it must be a positive number');
        return;
      }
      this.#options.pingInterval = Math.min(newInterval, LONGEST_TIMER);
      if (immediate && this.#state === 'open') this.#schedulePing();
    }

    /** The time between heartbeats in milliseconds. */
    getPingInterval() {
      return this.#options.pingInterval;
    }

    /**
     * Closes the connection with 4001, or gives up the attempt or the wait under way, for good. No timer is left after
     * the event `close`. Safe at any time.
     */
    manualClose() {
      switch (this.#state) {
        case 'open':
          this.#closeByHand(false);
          break;
        case 'closing':
          this.#reconnectsAfterClose = false;
          break;
        case 'connecting':
        case 'waiting':
          this.#finish();
          this.#raise('close', { ...BY_HAND });
          break;
        default:
          this.#finish();
      }
    }

    // Connecting

    #connect() {
      this.#state = 'connecting';
      const socket = new this.#options.WebSocket(this.#url, this.#options.subprotocols);
      this.#socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = (event) => this.#opened(event);
      socket.onmessage = ({ data }) => this.#received(data);
      socket.onerror = (event) => this.#failed(event);
      socket.onclose = ({ code, reason, wasClean }) => this.#closed({ code, reason, wasClean });
      // Node's `ws` tells the status of a refused handshake; browsers never do.
      socket.on?.('unexpected-response', (_, response) => {
        if (socket === this.#socket) this.#refused(response.statusCode, response.headers);
      });
      const { connectTimeout } = this.#options;
      this.#schedule('attempt', connectTimeout, () => {
        this.#attemptFailed('CONNECT_TIMEOUT', new Error(`no connection within ${connectTimeout} ms`));
      });
    }

    #opened(event) {
      this.#cancel('attempt');
      this.#state = 'open';
      this.#isReconnecting = false;
      this.#isRefused = false;
      this.#asked = 0;
      this.#openedAt = now();
      this.#schedulePing();
      this.#watch();
      this.#raise('open', event);
    }

    #attemptFailed(code, error, details) {
      this.#dropAttempt();
      this.#state = 'disconnected';
      this.#isRefused = code === 'AUTHENTICATION_FAILED' || code === 'REFUSED';
      this.#asked = code === 'TRY_AGAIN_LATER' ? Math.min(details.retryAfter ?? 0, LONGEST_ASKED) : 0;
      if (code === 'AUTHENTICATION_FAILED') this.#isReconnecting = false;
      this.#raise('error', errorEvent(code, error, details));
      // Unless a listener has decided already, or somebody has to log in first.
      if (this.#state === 'disconnected' && code !== 'AUTHENTICATION_FAILED') this.#waitForAttempt();
    }

    /** The server has answered the handshake with a status. */
    #refused(status, headers) {
      const code = refusalCode(status);
      const error = new Error(`the server refused the WebSocket with HTTP status ${status}`);
      this.#attemptFailed(code, error, { status, retryAfter: retryAfter(headers) });
    }

    #dropAttempt() {
      this.#cancel('attempt');
      if (!this.#socket) return;
      release(this.#socket);
      this.#socket.close();
      this.#socket = null;
    }

    #waitForAttempt() {
      const { repeatLimit } = this.#options;
      if (repeatLimit !== null && this.#attempts >= repeatLimit) {
        this.#isReconnecting = false;
        this.#state = 'exhausted';
        this.#raise('repeat-limit', repeatLimit);
        return;
      }
      this.#attempts += 1;
      this.#isReconnecting = true;
      this.#state = 'waiting';
      // The ordinary wait comes on top of what the server asks for, so that not all come back at once.
      const timeout = this.#asked + reconnectDelay(this.#attempts, this.#options, this.#isRefused);
      this.#schedule('wait', timeout, () => {
        try {
          this.#connect();
        } catch (error) {
          this.#attemptFailed('CONNECTION_FAILED', error);
        }
      });
      this.#raise('reconnect', { repeat: this.#attempts, timeout });
    }

    // The end of a connection

    #failed(event) {
      const error = event.error ?? new Error(event.message || 'the connection has failed');
      if (this.#state === 'connecting') {
        this.#attemptFailed('CONNECTION_FAILED', error);
      } else if (this.#state === 'closing') {
        this.#abandon();
        this.#closedByHand({ ...ABNORMAL });
      } else {
        this.#abandon();
        this.#disconnect();
        this.#raise('error', errorEvent('CONNECTION_FAILED', error));
        this.#raise('close', { ...ABNORMAL });
        // Unless a listener has decided already.
        if (this.#state === 'disconnected') this.#waitForAttempt();
      }
    }

    #closed(close) {
      if (this.#state === 'connecting') {
        this.#attemptFailed('CONNECTION_FAILED', new Error('the connection was closed before it was open'));
      } else if (this.#state === 'closing') {
        this.#closedByHand(close);
      } else {
        this.#disconnect(close);
        this.#raise('close', close);
      }
    }

    /**
     * Looks for a server that has sent its Close frame: no event tells it, and that of the end comes with the end of the
     * TCP connection, which may be minutes away.
     */
    #watch() {
      const { closeTimeout } = this.#options;
      this.#schedule('watch', closeTimeout / 2, () => {
        if (this.#socket.readyState === OPEN) return this.#watch();
        this.#stopUsingConnection();
        this.#schedule('watch', closeTimeout, () => {
          const socket = this.#socket;
          const close = knownClose(socket);
          this.#disconnect(close);
          socket.terminate?.();
          this.#raise('close', close);
        });
      });
    }

    #closeByHand(reconnects) {
      this.#state = 'closing';
      this.#reconnectsAfterClose = reconnects;
      this.#stopUsingConnection();
      this.#schedule('close', this.#options.closeTimeout, () => {
        this.#socket.terminate?.();
        this.#closedByHand({ ...ABNORMAL });
      });
      this.#socket.close(BY_HAND.code, BY_HAND.reason);
    }

    #closedByHand(close) {
      // Whether the server has echoed our Close frame, with or without its code, or has gone without one.
      if ([BY_HAND.code, 1005, 1006].includes(close.code)) close = { ...BY_HAND, wasClean: close.wasClean };
      this.#disconnect(close);
      if (!this.#reconnectsAfterClose) this.#finish();
      this.#raise('close', close);
      if (this.#state === 'disconnected') this.#waitForAttempt();
    }

    /** Gives the connection up without waiting for its end. */
    #abandon(code, reason) {
      const socket = this.#socket;
      release(socket);
      this.#socket = null;
      this.#abandoned?.terminate();
      this.#abandoned = null;
      socket.close(code, reason);
      // Browsers cut a connection by themselves.
      if (typeof socket.terminate !== 'function') return;
      this.#abandoned = socket;
      this.#schedule('abandoned', this.#options.closeTimeout, () => socket.terminate());
      socket.onclose = () => {
        if (this.#abandoned !== socket) return;
        this.#abandoned = null;
        this.#cancel('abandoned');
      };
    }

    /** @param {{code: number}} [close] what ended it, when it was no error */
    #disconnect(close) {
      this.#cancel('close');
      if (this.#socket) release(this.#socket);
      this.#socket = null;
      this.#state = 'disconnected';
      if (now() - this.#openedAt >= HOLD_TIME) this.#attempts = 0;
      this.#isRefused = close?.code === AUTHENTICATION_FAILED;
      this.#stopUsingConnection();
    }

    /** Nothing can be sent any more, and no reply will come. */
    #stopUsingConnection() {
      this.#cancel('ping');
      this.#cancel('pong');
      this.#cancel('watch');
      this.#heartbeatSentAt = null;
      for (const id of [...this.#pending.keys()]) this.#settle(id, { ...CONNECTION_CLOSED });
    }

    #finish() {
      this.#dropAttempt();
      this.#state = 'finished';
      this.#isReconnecting = false;
      this.#abandoned?.terminate();
      this.#abandoned = null;
      for (const name of [...this.#timers.keys()]) this.#cancel(name);
    }

    // The heartbeat

    #schedulePing() {
      this.#schedule('ping', this.#options.pingInterval, () => this.#ping());
    }

    #ping() {
      this.#schedulePing();
      // The time limit of the one under way decides.
      if (this.#heartbeatSentAt !== null || !this.isOpen) return;
      this.#socket.send(this.#options.pingMsg);
      this.#heartbeatSentAt = now();
      this.#awaitEcho(0, this.#receivedSoFar, true);
      this.#raise('ping');
    }

    /** Grows with whatever comes: with every byte where the class shows them, as `ws` does, otherwise with messages. */
    get #receivedSoFar() {
      return this.#messageCount + (this.#socket._socket?.bytesRead ?? 0);
    }

    /**
     * @param {number} silentLooks how often nothing new was seen in a row
     * @param {number} seen what had come when it was looked last
     * @param {boolean} excusesLateness whether a late look may be passed over
     */
    #awaitEcho(silentLooks, seen, excusesLateness) {
      const delay = this.#options.pongTimeout / LOOKS;
      const due = now() + delay;
      this.#schedule('pong', delay, () => {
        // A connection that is closing is watched already.
        if (!this.isOpen) return;
        const received = this.#receivedSoFar;
        if (received !== seen) return this.#awaitEcho(0, received, true);
        // In a page that was suspended, or a busy process, something may be waiting behind this timer.
        if (excusesLateness && now() - due > 100) return this.#awaitEcho(silentLooks, seen, false);
        if (silentLooks + 1 < LOOKS) return this.#awaitEcho(silentLooks + 1, seen, true);
        // A server that does not answer a heartbeat does not answer a Close frame in time either.
        this.#abandon(NO_PONG.code, NO_PONG.reason);
        this.#disconnect();
        this.#raise('pong-timeout');
        this.#raise('close', { ...NO_PONG });
      });
    }

    #receivedHeartbeat() {
      if (this.#heartbeatSentAt === null) return;
      const roundTrip = Math.round(now() - this.#heartbeatSentAt);
      this.#heartbeatSentAt = null;
      this.#cancel('pong');
      this.#raise('pong', roundTrip);
    }

    // Sending

    /** @returns {object|null} why the text was not sent */
    #transmit(text) {
      if (!this.isOpen) return { ...NOT_OPEN };
      const waiting = this.#socket.bufferedAmount;
      if (waiting > 0 && waiting + text.length > this.#options.maximumWaitingBytes) return { ...OUTBOUND_FULL };
      this.#socket.send(text);
      return null;
    }

    #request(event, data, options, settle) {
      const { callbackTimeout, pendingTimeout, maximumPendingRequests } = this.#options;
      const timeout = duration(options?.callbackTimeout, callbackTimeout, 'callbackTimeout');
      const timeoutOfPending = duration(options?.pendingTimeout, pendingTimeout, 'pendingTimeout');
      const id = this.#nextCallbackId();
      const text = encoded(event, data, id);
      const failure = this.#pending.size >= maximumPendingRequests
        ? { error: `${maximumPendingRequests} replies are awaited already`, errorCode: 'TOO_MANY_PENDING' }
        : this.#transmit(text);
      if (failure) {
        queueMicrotask(() => guarded('callback', () => settle(failure)));
        return false;
      }
      const request = { settle };
      request.timeout = setTimeout(() => {
        this.#settle(id, { error: `Is callback timeout: ${id}`, errorCode: 'CALLBACK_TIMEOUT' });
      }, timeout);
      if (typeof options?.onPending === 'function') {
        request.pending = setTimeout(() => guarded('onPending', options.onPending), timeoutOfPending);
      }
      this.#pending.set(id, request);
      return true;
    }

    #settle(id, failure, payload) {
      const request = this.#pending.get(id);
      if (!request) return;
      this.#pending.delete(id);
      clearTimeout(request.timeout);
      clearTimeout(request.pending);
      guarded('callback', () => request.settle(failure, payload));
    }

    #nextCallbackId() {
      const random = Math.floor(Math.random() * 36 ** 4).toString(36).padStart(4, '0');
      // The tilde tells the server that this client understands failures, which the original's does not.
      return `~${Date.now().toString(36)}-${random}-${(++this.#requestCount).toString(36)}`;
    }

    // Receiving

    #received(data) {
      if (this.#state !== 'open') return;
      this.#messageCount += 1;
      if (data === this.#options.pingMsg) return this.#receivedHeartbeat();
      const message = parsed(data);
      // The callback id first: a reply is never an event.
      if (message?.callbackId != null) {
        this.#receivedReply(message);
      } else if (typeof message?.event === 'string') {
        this.#receivedEvent(message);
      }
      this.#raise('message', data);
    }

    #receivedReply({ callbackId, payload, error }) {
      if (error == null) {
        this.#settle(callbackId, null, payload);
      } else {
        this.#settle(callbackId, {
          error: ifString(error.message) ?? ifString(error) ?? JSON.stringify(error),
          errorCode: ifString(error.code) ?? 'UNKNOWN',
        });
      }
    }

    #receivedEvent({ event, payload, requestId }) {
      // A name that a server has chosen raises no event of the connector.
      const listeners = SYSTEM_EVENTS.has(event) ? [] : this.#claim(event);
      if (typeof requestId === 'string' && requestId.length > 0 && requestId.length <= LONGEST_ID) {
        this.#answer(event, payload, requestId, listeners);
      } else {
        for (const listener of listeners) run(listener, event, payload);
      }
    }

    /** Answers a request of the server. */
    async #answer(event, payload, requestId, listeners) {
      const socket = this.#socket;
      let reply;
      try {
        if (this.#answering >= this.#options.maximumPendingRequests) {
          throw new RequestFailure('TOO_MANY_PENDING', 'the client works on too many requests already');
        }
        this.#answering += 1;
        try {
          reply = JSON.stringify({ payload: await firstValue(event, payload, listeners), requestId });
        } finally {
          this.#answering -= 1;
        }
      } catch (error) {
        if (!(error instanceof RequestFailure)) logFailure(`listener of '${event}'`, error);
        const { code, message } = error instanceof RequestFailure ? error : INTERNAL_ERROR;
        reply = JSON.stringify({ payload: { error: message }, requestId, error: { code, message } });
      }
      // The server waits for it on this connection only.
      if (socket === this.#socket) this.#transmit(reply);
    }

    // Listeners

    #add(event, listener, tag, isOnce) {
      if (typeof event !== 'string') throw new TypeError('an event must be a string');
      if (typeof listener !== 'function') throw new TypeError('a listener must be a function');
      const entry = { listener, tag, isOnce, isActive: true };
      this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), entry]);
      return { remove: () => this.#remove(event, (other) => other === entry) };
    }

    #remove(event, matches) {
      const kept = (this.#listeners.get(event) ?? []).filter((entry) => {
        if (!matches(entry)) return true;
        entry.isActive = false;
        return false;
      });
      if (kept.length > 0) {
        this.#listeners.set(event, kept);
      } else {
        this.#listeners.delete(event);
      }
    }

    /** The listeners of an event that may still run, each as its turn comes; a once listener is removed then. */
    * #claim(event) {
      for (const entry of this.#listeners.get(event) ?? []) {
        if (!entry.isActive) continue;
        if (entry.isOnce) this.#remove(event, (other) => other === entry);
        yield entry.listener;
      }
    }

    #raise(event, argument) {
      for (const listener of this.#claim(event)) run(listener, event, argument);
    }

    // Timers, by name: each at most once

    #schedule(name, delay, body) {
      this.#cancel(name);
      this.#timers.set(name, setTimeout(() => {
        this.#timers.delete(name);
        body();
      }, delay));
    }

    #cancel(name) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }

  /** Runs a listener. What it throws, or its promise rejects with, is logged. */
  function run(listener, event, argument) {
    guarded(`listener of '${event}'`, () => {
      const result = listener(argument);
      if (typeof result?.then === 'function') result.then(null, (error) => logFailure(`listener of '${event}'`, error));
    });
  }

  /**
   * Runs the listeners one after the other. The first value that one returns is the reply; without any, the first
   * failure is.
   */
  async function firstValue(event, payload, listeners) {
    let value;
    let isKnown = false;
    const failures = [];
    for (const listener of listeners) {
      isKnown = true;
      if (value !== undefined) {
        run(listener, event, payload);
        continue;
      }
      try {
        value = await listener(payload);
      } catch (error) {
        failures.push(error);
      }
    }
    if (!isKnown) throw new RequestFailure('UNKNOWN_EVENT', 'no listener of this event');
    const hasFailed = value === undefined && failures.length > 0;
    for (const error of failures.slice(hasFailed ? 1 : 0)) logFailure(`listener of '${event}'`, error);
    if (hasFailed) throw failures[0];
    return value;
  }

  function guarded(what, body) {
    try {
      body();
    } catch (error) {
      logFailure(what, error);
    }
  }

  function logFailure(what, error) {
    console.error(`WebSocketConnector: ${what} failed:`, error);
  }

  function encoded(event, payload, callbackId) {
    if (typeof event !== 'string') throw new TypeError('an event must be a string');
    return JSON.stringify({ event, payload, callbackId });
  }

  /** The value that a text holds; null when it is no JSON. */
  function parsed(data) {
    if (typeof data !== 'string') return null;
    try {
      return JSON.parse(data);
    } catch {
      return null;
    }
  }

  function ifString(value) {
    return typeof value === 'string' ? value : undefined;
  }

  /** Shaped like the event of Node's `ws`, which browsers' do not say so much. */
  function errorEvent(code, error, details) {
    return { type: 'error', code, message: error.message, error, ...details };
  }

  /** What the status of a refused handshake means for coming back. */
  function refusalCode(status) {
    if (status === 401 || status === 403) return 'AUTHENTICATION_FAILED';
    return status === 408 || status === 429 || status >= 500 ? 'TRY_AGAIN_LATER' : 'REFUSED';
  }

  /** Milliseconds until a client may come again (RFC 9110, section 10.2.3). A date is taken against the answer's own. */
  function retryAfter({ 'retry-after': value, date }) {
    if (value === undefined) return undefined;
    if (/^\d+$/.test(value)) return Number(value) * 1_000;
    const wait = Date.parse(value) - Date.parse(date);
    return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
  }

  /** What a Close frame said whose connection does not end: `ws` keeps it, others tell it only at the end. */
  function knownClose({ _closeCode: code, _closeMessage: reason }) {
    return typeof code === 'number' ? { code, reason: String(reason ?? ''), wasClean: false } : { ...ABNORMAL };
  }

  /** Keeps what is left of a connection from being heard. An error without a listener would end a process with `ws`. */
  function release(socket) {
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.onerror = () => {};
  }

  /**
   * How long to wait before an attempt: the fast interval at first, then twice as long each time. Every wait is
   * shortened by a random share of up to a half, so that the clients of a lost server do not come back all at once.
   */
  function reconnectDelay(attempt, options, isRefused) {
    const { fastReconnectThreshold, fastReconnectInterval, reconnectMaxInterval } = options;
    const doublings = Math.max(attempt - fastReconnectThreshold, 0);
    const longest = isRefused ? reconnectMaxInterval
      : Math.min(fastReconnectInterval * 2 ** doublings, reconnectMaxInterval);
    return Math.round(longest * (0.5 + 0.5 * Math.random()));
  }

  /** Does not jump when the system's clock is set. */
  function now() {
    return typeof performance === 'object' ? performance.now() : Date.now();
  }

  function withParameters(url, customParams) {
    const base = url.replace(/#.*$/, '');
    const query = new URLSearchParams(customParams ?? {}).toString();
    return query === '' ? base : `${base}${base.includes('?') ? '&' : '?'}${query}`;
  }

  function duration(value, standard, name) {
    if (value == null) return standard;
    if (typeof value !== 'number' || !(value > 0 || (value === 0 && name === 'pendingTimeout'))) {
      throw new RangeError(`${name} must be a positive number of milliseconds`);
    }
    return Math.min(value, LONGEST_TIMER);
  }

  function checkedOptions(options) {
    if (typeof options?.url !== 'string' || !/^wss?:\/\//i.test(options.url)) {
      throw new TypeError('url must begin with ws:// or wss://');
    }
    const { pingMsg = '', repeatLimit = null, subprotocols = [] } = options;
    if (typeof pingMsg !== 'string') throw new TypeError('pingMsg must be a string');
    const checked = { pingMsg, repeatLimit, subprotocols, WebSocket: options.WebSocket ?? findWebSocket() };
    for (const [name, standard] of Object.entries(DURATIONS)) checked[name] = duration(options[name], standard, name);
    for (const [name, standard] of Object.entries(COUNTS)) checked[name] = options[name] ?? standard;
    for (const name of ['repeatLimit', ...Object.keys(COUNTS)]) {
      if (name === 'repeatLimit' && repeatLimit === null) continue;
      const smallest = name.startsWith('maximum') ? 1 : 0;
      if (!Number.isSafeInteger(checked[name]) || checked[name] < smallest) {
        throw new RangeError(`${name} must be a whole number, ${smallest} or more`);
      }
    }
    return checked;
  }

  function findWebSocket() {
    if (typeof WebSocket === 'function') return WebSocket;
    try {
      return require('ws');
    } catch {
      throw new TypeError('there is no WebSocket here: install the package ws, or give the option WebSocket');
    }
  }

  return WebSocketConnector;
});

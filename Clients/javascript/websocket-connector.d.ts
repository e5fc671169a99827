/** A WebSocket client with named events, replies, a heartbeat and reconnection. */
declare class WebSocketConnector {
  /** The class itself, for `const { WebSocketConnector } = require(…)`. */
  static readonly WebSocketConnector: typeof WebSocketConnector;

  /** Connects at once, and keeps trying until it succeeds. Throws for an option or a URL that makes no sense. */
  constructor(options: WebSocketConnector.Options);

  /** Whether messages can be sent now. */
  readonly isOpen: boolean;

  /** Registers a listener of an event of the connector. */
  on<Name extends keyof WebSocketConnector.SystemEvents>(
    event: Name,
    listener: (...args: WebSocketConnector.SystemEvents[Name]) => unknown,
    tag?: WebSocketConnector.Tag,
  ): WebSocketConnector.ListenerHandle;
  /**
   * Registers a listener of an event that the server sends. When the server asks for a reply, it is the first value
   * that a listener returns, or its promise resolves to.
   */
  on<Payload = any>(
    event: string,
    listener: (payload: Payload) => unknown,
    tag?: WebSocketConnector.Tag,
  ): WebSocketConnector.ListenerHandle;

  /** As `on`, for one time only: the listener is removed before it runs. */
  once<Name extends keyof WebSocketConnector.SystemEvents>(
    event: Name,
    listener: (...args: WebSocketConnector.SystemEvents[Name]) => unknown,
    tag?: WebSocketConnector.Tag,
  ): WebSocketConnector.ListenerHandle;
  once<Payload = any>(
    event: string,
    listener: (payload: Payload) => unknown,
    tag?: WebSocketConnector.Tag,
  ): WebSocketConnector.ListenerHandle;

  /** Removes the listeners of an event with the function or the tag; all of them without it. */
  off(event: string, listenerOrTag?: ((...args: any[]) => unknown) | WebSocketConnector.Tag): void;
  /** Removes one listener. */
  off(listener: WebSocketConnector.ListenerHandle): void;

  /**
   * Sends an event; with a callback, asks for a reply. Returns whether the message was handed to the connection.
   * Throws a `TypeError` when `data` cannot be written as JSON.
   */
  emit<Reply = any>(
    event: string,
    data?: unknown,
    callback?: WebSocketConnector.ReplyCallback<Reply> | null,
    options?: WebSocketConnector.RequestOptions | null,
  ): boolean;

  /** Sends an event and awaits the reply. Rejects only with a `TypeError`, when `data` cannot be written as JSON. */
  emitWithPromise<Reply = any>(
    event: string,
    data?: unknown,
    options?: WebSocketConnector.RequestOptions | null,
  ): Promise<WebSocketConnector.Result<Reply>>;

  /**
   * Connects again: closes an open connection (4001), then waits as after a failure and connects. Does nothing while
   * the connector connects or waits to, and after `manualClose`.
   */
  reconnect(repeatReset?: boolean): void;

  /** Whether the connector tries to connect again, or waits to. */
  reconnecting(): boolean;

  /** Changes the time between heartbeats, in milliseconds; at once if `immediate`. */
  setPingInterval(newInterval: number, immediate?: boolean): void;

  /** The time between heartbeats, in milliseconds. */
  getPingInterval(): number;

  /** Closes the connection with 4001, for good. Safe at any time. */
  manualClose(): void;
}

declare namespace WebSocketConnector {
  /** All times in milliseconds. */
  interface Options {
    /** `ws://…` or `wss://…` */
    url: string;
    /** Added to the query of the URL. */
    customParams?: Record<string, unknown> | null;
    /** Time between heartbeats. 10 000. */
    pingInterval?: number | null;
    /** How long nothing may come while the echo of a heartbeat is awaited. 2 000. */
    pongTimeout?: number | null;
    /** The text of a heartbeat; the server's must be the same. Empty. */
    pingMsg?: string;
    /** Attempts to connect again that come at the fast interval; then the wait doubles with each. 3. */
    fastReconnectThreshold?: number | null;
    /** The wait before each of the first attempts; every wait is shortened by a random share of up to a half. 3 000. */
    fastReconnectInterval?: number | null;
    /** The longest wait between attempts, unless the server asks for more. 120 000. */
    reconnectMaxInterval?: number | null;
    /** Attempts to connect again, without a connection that lasts, before it gives up. Without bound by default. */
    repeatLimit?: number | null;
    /** How long a reply may take. 5 000. */
    callbackTimeout?: number | null;
    /** How long a reply may take before `onPending` is called. 100. */
    pendingTimeout?: number | null;
    /** How long an attempt to connect may take. 10 000. */
    connectTimeout?: number | null;
    /** How long a closing connection waits for its end, whoever began to close it. 2 000. */
    closeTimeout?: number | null;
    /** Requests that may wait for their reply, and requests of the server that may wait for a listener. 1 024. */
    maximumPendingRequests?: number | null;
    /** Bytes that may wait to be sent. 16 MiB. */
    maximumWaitingBytes?: number | null;
    /** Offered to the server. None. */
    subprotocols?: string | string[];
    /** The class to use: the global one, else that of the package `ws`. */
    WebSocket?: new (url: string, protocols?: string | string[]) => any;
  }

  /** The events of the connector, with the arguments of their listeners. */
  interface SystemEvents {
    open: [event: any];
    close: [close: CloseInfo];
    error: [failure: ConnectionFailure];
    /** A message of whatever form, but for the echo of a heartbeat; after the listeners of the event that it holds. */
    message: [data: string | ArrayBuffer];
    ping: [];
    /** Milliseconds from a heartbeat to its echo. */
    pong: [roundTrip: number];
    'pong-timeout': [];
    'repeat-limit': [repeatLimit: number];
    reconnect: [attempt: ReconnectAttempt];
  }

  interface CloseInfo {
    code: number;
    reason: string;
    wasClean: boolean;
  }

  interface ConnectionFailure {
    type: 'error';
    /**
     * What a server has refused is told by the status, where it can be seen: in Node with `ws`, never in browsers.
     * `AUTHENTICATION_FAILED` is 401 and 403: the connector does not come back by itself. `TRY_AGAIN_LATER` is 408, 429
     * and 5xx, `REFUSED` any other status: it comes back after the longest wait.
     */
    code: 'CONNECT_TIMEOUT' | 'CONNECTION_FAILED' | 'AUTHENTICATION_FAILED' | 'REFUSED' | 'TRY_AGAIN_LATER';
    /** The HTTP status of a refused handshake. */
    status?: number;
    /** Milliseconds that the server has asked to wait (Retry-After). */
    retryAfter?: number;
    message: string;
    error: Error;
  }

  interface ReconnectAttempt {
    /** From 1. */
    repeat: number;
    /** Milliseconds until the attempt. */
    timeout: number;
  }

  interface RequestOptions {
    callbackTimeout?: number | null;
    pendingTimeout?: number | null;
    /** Called once when the reply takes longer than `pendingTimeout`. */
    onPending?: (() => void) | null;
  }

  interface Failure {
    error: string;
    /**
     * `WS_NOT_OPEN`, `CALLBACK_TIMEOUT`, `CONNECTION_CLOSED`, `TOO_MANY_PENDING`, `OUTBOUND_FULL`, or the code that the
     * server's handler gave.
     */
    errorCode: string;
  }

  /** Called once, never before `emit` has returned. The payload is null when there is a failure. */
  type ReplyCallback<Reply = any> = (failure: Failure | null, payload: Reply) => void;

  type Result<Reply = any> = { success: true; data: Reply } | ({ success: false } & Failure);

  type Tag = string | number;

  interface ListenerHandle {
    remove(): void;
  }

  /** Thrown by a listener to answer a request of the server with a failure that the server may see. */
  class RequestFailure extends Error {
    constructor(code: string, message: string);
    readonly code: string;
  }
}

export = WebSocketConnector;
export as namespace WebSocketConnector;

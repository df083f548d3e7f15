// The WebSocket to the server extension. It is opened again, after increasing delays, until `close` is called.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { Answer, Message } from './messages';

const ROUTE = 'starcoder/completions';
const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 60_000;

export class Connection {
  private socket: WebSocket | undefined;
  private timer: number | undefined;
  private delayMs = FIRST_DELAY_MS;

  onOpen: () => void = () => undefined;
  onClose: () => void = () => undefined;
  onAnswer: (answer: Answer) => void = () => undefined;

  constructor(private readonly settings: ServerConnection.ISettings) {}

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open(): void {
    if (this.socket || this.timer !== undefined) {
      return;
    }
    const { appendToken, token, WebSocket: Socket, wsUrl } = this.settings;
    const query = appendToken && token ? `?token=${encodeURIComponent(token)}` : '';
    const socket = new Socket(URLExt.join(wsUrl, ROUTE) + query);
    this.socket = socket;
    socket.onopen = () => {
      this.delayMs = FIRST_DELAY_MS;
      this.onOpen();
    };
    socket.onmessage = ({ data }) => this.onAnswer(JSON.parse(data as string) as Answer);
    socket.onclose = () => {
      this.socket = undefined;
      this.onClose();
      this.timer = window.setTimeout(() => {
        this.timer = undefined;
        this.open();
      }, this.delayMs);
      this.delayMs = Math.min(2 * this.delayMs, MAX_DELAY_MS);
    };
  }

  close(): void {
    window.clearTimeout(this.timer);
    this.timer = undefined;
    const socket = this.socket;
    this.socket = undefined;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      this.onClose();
    }
  }

  /** Send a message; it is lost while the connection is closed. */
  send(message: Message): void {
    if (this.isOpen) {
      this.socket?.send(JSON.stringify(message));
    }
  }
}

// The messages between this page and the server extension (starcoder_jupyterlab/browser_session.py).

export interface Cell {
  id: string;
  language: string;
  isCode: boolean;
  text: string;
  /** The beginning of the text that it has written. */
  output?: string;
}

/** A cell without text has the text that was sent before. */
export type SentCell = Omit<Cell, 'text'> & { text?: string };

export type Message =
  | { type: 'document'; document: string; isNotebook: boolean; cells: SentCell[] }
  | { type: 'close'; document: string }
  | { type: 'complete'; request: number; document: string; cell: string; offset: number; isInvoked: boolean }
  | { type: 'cancel'; request: number }
  | { type: 'accepted'; item: number };

export interface Item {
  id: number;
  text: string;
  /** The number of code points after the cursor that the suggestion replaces. */
  replacedAfter: number;
}

export interface ServerStatus {
  kind: 'starting' | 'running' | 'missing' | 'stopped';
  message: string;
  phase?: 'loading' | 'ready' | 'working' | 'asleep' | 'failed' | 'closed';
  model?: string;
  device?: string;
  progress?: number;
}

export type Answer =
  | ({ type: 'status' } & ServerStatus)
  | { type: 'notice'; severity: 'error' | 'warning' | 'info'; text: string }
  | { type: 'items'; request: number; items: Item[] };

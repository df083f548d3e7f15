// The inline completion provider: sends the cursor, gives JupyterLab the suggestions, and reports which one was accepted.
import { CodeEditor } from '@jupyterlab/codeeditor';
import {
  CompletionHandler, IInlineCompletionContext, IInlineCompletionItem, IInlineCompletionList, IInlineCompletionProvider, InlineCompletionTriggerKind,
} from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Documents } from './documents';
import { Item, Message } from './messages';

const KEPT_ANSWERS = 8; // a newer request may be pending when an older suggestion is accepted
const NOTHING: IInlineCompletionList = { items: [] };

/** Suggestions that JupyterLab was given, and where. */
interface GivenAnswer {
  editor: CodeEditor.IEditor;
  /** In UTF-16 code units. */
  offset: number;
  items: Item[];
}

interface PendingRequest {
  request: number;
  editor: CodeEditor.IEditor;
  text: string;
  resolve: (items: Item[]) => void;
}

export class StarCoderProvider implements IInlineCompletionProvider {
  readonly identifier = 'starcoder';
  readonly name = 'StarCoder';
  /** JupyterLab shows these beside its own settings of a provider: enabled, timeout, delay, fill in middle. */
  readonly schema: ISettingRegistry.IProperty = {
    default: { autoFillInMiddle: true, timeout: 20_000, trigger: 'automatic' },
    properties: {
      trigger: {
        title: 'Trigger',
        description: 'When suggestions are requested: while you type, or only by the command Invoke Inline Completer (Alt+\\).',
        type: 'string',
        enum: ['automatic', 'manual'],
      },
    },
  };

  private isManual = false;
  private lastRequest = 0;
  private pending: PendingRequest | undefined;
  private given: GivenAnswer[] = [];
  onEnabled: (isEnabled: boolean) => void = () => undefined;

  constructor(private readonly documents: Documents, private readonly send: (message: Message) => void) {}

  configure(settings: Record<string, unknown> | undefined): void {
    this.isManual = settings?.trigger === 'manual';
    this.onEnabled(settings?.enabled !== false);
  }

  async fetch(request: CompletionHandler.IRequest, context: IInlineCompletionContext): Promise<IInlineCompletionList> {
    const isInvoked = context.triggerKind === InlineCompletionTriggerKind.Invoke;
    if (this.isManual && !isInvoked) {
      return NOTHING;
    }
    this.cancel();
    const cursor = this.documents.cursor(context.widget);
    if (!cursor || cursor.editor.model.sharedModel.getSource() !== request.text) {
      return NOTHING;
    }
    const { document, cell, editor } = cursor;
    const number = ++this.lastRequest;
    const items = await new Promise<Item[]>((resolve) => {
      this.pending = { request: number, editor, text: request.text, resolve };
      this.send({ type: 'complete', request: number, document, cell, offset: request.offset, isInvoked });
    });
    if (items.length > 0) {
      const offset = Text.charIndexToJsIndex(request.offset, request.text);
      this.given = [...this.given.slice(1 - KEPT_ANSWERS), { editor, offset, items }];
    }
    return { items: items.map((item): IInlineCompletionItem => ({ insertText: item.text })) };
  }

  /** The answer of the server extension to a request. */
  answer(request: number, items: Item[]): void {
    if (this.pending?.request === request) {
      const { resolve } = this.pending;
      this.pending = undefined;
      resolve(items);
    }
  }

  /** End the pending request if its text has changed: JupyterLab does not always make a new one. */
  onChange(): void {
    const { editor, text } = this.pending ?? {};
    if (editor && (editor.isDisposed || editor.model.sharedModel.getSource() !== text)) {
      this.cancel();
    }
  }

  cancel(): void {
    if (this.pending) {
      const { request } = this.pending;
      this.send({ type: 'cancel', request });
      this.answer(request, []);
    }
  }

  /** JupyterLab has inserted a suggestion, it does not say which: the one that stands before a cursor. */
  onAccepted(): void {
    for (const { editor, offset, items } of [...this.given].reverse()) {
      if (editor.isDisposed) {
        continue;
      }
      const text = editor.model.sharedModel.getSource();
      const cursor = editor.getOffsetAt(editor.getCursorPosition());
      const item = items.find((candidate) => text.slice(offset, cursor) === candidate.text);
      if (item) {
        this.given = [];
        this.send({ type: 'accepted', item: item.id });
        if (item.replacedAfter > 0) {
          editor.model.sharedModel.updateSource(cursor, cursor + item.replacedAfter, '');
        }
        return;
      }
    }
  }
}

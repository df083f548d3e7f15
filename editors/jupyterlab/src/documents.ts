// The open notebooks and files, and what the server extension knows of them: only changed cells are sent with their text.
import { CodeEditor } from '@jupyterlab/codeeditor';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { DocumentRegistry, IDocumentWidget } from '@jupyterlab/docregistry';
import { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookModel, INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ISharedCodeCell } from '@jupyter/ydoc';
import { Widget } from '@lumino/widgets';
import { Cell, Message } from './messages';
import { outputText } from './outputs';

const DELAY_MS = 300; // of changes without a request, such as those by an execution
const FILE_CELL = 'file';
const DEFAULT_LANGUAGE = 'python'; // of a new notebook, before its kernel has said what it runs

/** The cell with the cursor. */
export interface Cursor {
  document: string;
  cell: string;
  editor: CodeEditor.IEditor;
}

/** What the server extension knows of a document. */
interface SentDocument {
  path: string;
  cells: Map<string, Cell>;
}

type Context = DocumentRegistry.Context;

export class Documents {
  private readonly sent = new Map<Context, SentDocument | null>();
  onChange: () => void = () => undefined;
  onReady: () => void = () => undefined;

  constructor(
    private readonly send: (message: Message) => void,
    private readonly notebooks: INotebookTracker | null,
    private readonly files: IEditorTracker | null,
    private readonly languages: IEditorLanguageRegistry | null,
  ) {
    notebooks?.widgetAdded.connect((_, panel) => this.add(panel.context as unknown as Context));
    files?.widgetAdded.connect((_, widget) => this.add(widget.context as unknown as Context));
    notebooks?.forEach((panel) => this.add(panel.context as unknown as Context));
    files?.forEach((widget) => this.add(widget.context as unknown as Context));
  }

  get isEmpty(): boolean {
    return this.sent.size === 0;
  }

  /** Send all documents: a new connection knows none. */
  sendAll(): void {
    for (const context of this.sent.keys()) {
      this.sent.set(context, null);
      this.update(context);
    }
  }

  /** The cell of `widget` with the cursor, after sending what has changed; undefined if it cannot be completed. */
  cursor(widget: Widget): Cursor | undefined {
    if (this.notebooks?.has(widget)) {
      const panel = widget as NotebookPanel;
      const context = panel.context as unknown as Context;
      const document = this.update(context, false);
      const active = panel.content.activeCell;
      const cell = active?.model.sharedModel.getId();
      return document && cell && active?.editor ? { document, cell, editor: active.editor } : undefined;
    }
    if (this.files?.has(widget)) {
      const file = widget as IDocumentWidget<FileEditor>;
      const document = this.update(file.context as unknown as Context);
      return document ? { document, cell: FILE_CELL, editor: file.content.editor } : undefined;
    }
    return undefined;
  }

  private add(context: Context): void {
    if (this.sent.has(context)) {
      return; // a second view of a document
    }
    this.sent.set(context, null);
    let timer: number | undefined;
    context.model.contentChanged.connect(() => {
      this.onChange();
      window.clearTimeout(timer);
      timer = window.setTimeout(() => this.update(context), DELAY_MS);
    });
    context.disposed.connect(() => {
      window.clearTimeout(timer);
      this.close(context);
      this.sent.delete(context);
    });
    void context.ready.then(() => {
      this.onReady();
      this.update(context);
    });
  }

  private close(context: Context): void {
    const sent = this.sent.get(context);
    if (sent) {
      this.send({ type: 'close', document: sent.path });
      this.sent.set(context, null);
    }
  }

  /**
   * Send what has changed in a document. Returns its name; undefined if it is not loaded yet, or not for the model.
   * Outputs, which can be long, are read again only if `readsOutputs` is true.
   */
  private update(context: Context, readsOutputs = true): string | undefined {
    const path = context.localPath;
    const isNotebook = 'cells' in context.model;
    if (!this.sent.has(context) || !context.isReady || context.isDisposed || (!isNotebook && path.endsWith('.ipynb'))) {
      return undefined;
    }
    if (this.sent.get(context)?.path !== path) {
      this.close(context); // it was renamed
    }
    const before = this.sent.get(context)?.cells;
    const cells = isNotebook
      ? notebookCells(context.model as unknown as INotebookModel, readsOutputs ? undefined : before)
      : this.fileCells(context.model as unknown as CodeEditor.IModel);
    if (!before || !isEqual([...before.values()], cells)) {
      const changes = cells.map(({ text, ...cell }) => (before?.get(cell.id)?.text === text ? cell : { ...cell, text }));
      this.send({ type: 'document', document: path, isNotebook, cells: changes });
      this.sent.set(context, { path, cells: new Map(cells.map((cell) => [cell.id, cell])) });
    }
    return path;
  }

  private fileCells(model: CodeEditor.IModel): Cell[] {
    const name = this.languages?.findByMIME(model.mimeType)?.name.toLowerCase() ?? 'none';
    const language = name === 'none' ? 'plaintext' : name;
    return [{ id: FILE_CELL, language, isCode: true, text: model.sharedModel.getSource() }];
  }
}

/** The cells of a notebook in order. Outputs are those of `known`, if it is given. */
function notebookCells(model: INotebookModel, known: Map<string, Cell> | undefined): Cell[] {
  const kernelLanguage = (model.getMetadata('kernelspec') as { language?: string } | undefined)?.language;
  const codeLanguage = (model.defaultKernelLanguage || kernelLanguage || DEFAULT_LANGUAGE).toLowerCase();
  return model.sharedModel.cells.map((cell) => {
    const id = cell.getId();
    const isCode = cell.cell_type === 'code';
    const language = isCode ? codeLanguage : cell.cell_type;
    const output = !isCode ? '' : known ? known.get(id)?.output ?? '' : outputText((cell as ISharedCodeCell).getOutputs());
    return { id, language, isCode, text: cell.getSource(), output };
  });
}

function isEqual(before: Cell[], now: Cell[]): boolean {
  return before.length === now.length && now.every((cell, index) => {
    const other = before[index];
    return other?.id === cell.id && other.text === cell.text && other.output === cell.output
      && other.language === cell.language && other.isCode === cell.isCode;
  });
}

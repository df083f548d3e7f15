// Shows the next edit that the server offers after a change: the old text crossed out, the new text after it. Tab goes to it if it is
// not on the screen, else applies it; Escape dismisses it; typing removes it. VS Code has no stable API for this.
import * as vscode from 'vscode';
import { Server } from './server';

const METHOD = 'textDocument/copilotInlineEdit';
const DELAY_MS = 300;
const CONTEXT_KEY = 'starcoder.hasNextEdit';

interface Position { line: number; character: number }
interface Item { text: string; range: { start: Position; end: Position }; command: { arguments: [{ id: string }] } }
interface Shown { editor: vscode.TextEditor; version: number; range: vscode.Range; item: Item }

export class NextEdits {
  private readonly oldText = vscode.window.createTextEditorDecorationType({
    textDecoration: 'line-through',
    backgroundColor: new vscode.ThemeColor('diffEditor.removedTextBackground'),
  });
  private readonly newText = vscode.window.createTextEditorDecorationType({
    after: { backgroundColor: new vscode.ThemeColor('diffEditor.insertedTextBackground') },
  });
  private readonly hint = vscode.window.createTextEditorDecorationType({
    after: { color: new vscode.ThemeColor('editorCodeLens.foreground'), margin: '0 0 0 2em' },
  });
  private shown: Shown | undefined;
  private timer: NodeJS.Timeout | undefined;
  private pending: vscode.CancellationTokenSource | undefined;

  constructor(private readonly server: Server) {}

  register(): vscode.Disposable {
    return vscode.Disposable.from(
      this.oldText, this.newText, this.hint,
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.contentChanges.length > 0 && event.document === vscode.window.activeTextEditor?.document) {
          this.requestLater();
        }
      }),
      vscode.window.onDidChangeActiveTextEditor(() => this.clear()),
      { dispose: () => this.clear() },
    );
  }

  /** Go to the edit if it is not visible, else apply it. */
  async accept(): Promise<void> {
    const shown = this.shown;
    if (!shown || shown.editor.document.version !== shown.version) {
      this.clear();
      return;
    }
    const { editor, range, item } = shown;
    if (!editor.visibleRanges.some((visible) => visible.contains(range.start))) {
      editor.selection = new vscode.Selection(range.start, range.start);
      editor.revealRange(range, vscode.TextEditorRevealType.InCenter);
      return;
    }
    this.clear();
    const start = editor.document.offsetAt(range.start);
    if (await editor.edit((builder) => builder.replace(range, item.text))) {
      const end = editor.document.positionAt(start + item.text.length);
      editor.selection = new vscode.Selection(end, end);
      editor.revealRange(new vscode.Range(end, end));
      await this.server.execute('starcoder.editAccepted', item.command.arguments[0]);
    }
  }

  /** Remove the edit; it is not offered there again. */
  async dismiss(): Promise<void> {
    const item = this.shown?.item;
    this.clear();
    if (item) {
      await this.server.execute('starcoder.editDismissed', item.command.arguments[0]);
    }
  }

  private requestLater(): void {
    this.clear();
    this.timer = setTimeout(() => void this.request().catch((error) => this.server.log.debug(String(error))), DELAY_MS);
  }

  private async request(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor || this.server.state.kind !== 'running' || !this.server.running.initializeResult?.capabilities.experimental?.copilotInlineEdit) {
      return;
    }
    const { document } = editor;
    const client = this.server.running;
    const pending = new vscode.CancellationTokenSource();
    this.pending = pending;
    const version = document.version;
    const result = await client.sendRequest<{ edits: Item[] } | null>(METHOD, {
      textDocument: { uri: client.code2ProtocolConverter.asUri(document.uri), version },
      position: client.code2ProtocolConverter.asPosition(editor.selection.active),
    }, pending.token);
    const item = result?.edits[0];
    if (item && this.pending === pending && document.version === version && vscode.window.activeTextEditor === editor) {
      this.show(editor, item);
      await client.sendNotification('textDocument/didShowInlineEdit', { item: { command: item.command } });
    }
  }

  private show(editor: vscode.TextEditor, item: Item): void {
    const { start, end } = item.range;
    const range = new vscode.Range(start.line, start.character, end.line, end.character);
    this.shown = { editor, version: editor.document.version, range, item };
    const contentText = item.text.replace(/\n/g, '⏎');
    editor.setDecorations(this.oldText, [range]);
    editor.setDecorations(this.newText, contentText ? [{ range: new vscode.Range(range.end, range.end), renderOptions: { after: { contentText } } }] : []);
    const isVisible = editor.visibleRanges.some((visible) => visible.contains(range.start));
    const lineEnd = editor.document.lineAt(editor.selection.active.line).range.end;
    const text = `next edit in line ${start.line + 1}: Tab`;
    editor.setDecorations(this.hint, isVisible ? [] : [{ range: new vscode.Range(lineEnd, lineEnd), renderOptions: { after: { contentText: text } } }]);
    void vscode.commands.executeCommand('setContext', CONTEXT_KEY, true);
  }

  /** Remove the edit from the screen, and end the request for one. */
  private clear(): void {
    clearTimeout(this.timer);
    this.pending?.cancel();
    this.pending = undefined;
    if (this.shown) {
      for (const decoration of [this.oldText, this.newText, this.hint]) {
        this.shown.editor.setDecorations(decoration, []);
      }
      this.shown = undefined;
      void vscode.commands.executeCommand('setContext', CONTEXT_KEY, false);
    }
  }
}

// A line of a document that keeps its place in the text while the document is edited.
import * as vscode from 'vscode';

export class TrackedLine {
  private readonly subscription: vscode.Disposable;

  constructor(private readonly uri: vscode.Uri, private current: number) {
    this.subscription = vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (document.uri.toString() === this.uri.toString()) {
        this.shift(contentChanges);
      }
    });
  }

  /** The number of the line now, from 0. */
  get line(): number {
    return this.current;
  }

  dispose(): void {
    this.subscription.dispose();
  }

  /** The ranges of all changes refer to the text before the first one. Text at the beginning of the line pushes it down. */
  private shift(changes: readonly vscode.TextDocumentContentChangeEvent[]): void {
    const start = new vscode.Position(this.current, 0);
    for (const { range, text } of changes) {
      const lineCount = text.split(/\r\n|\r|\n/).length - 1;
      if (range.end.isBeforeOrEqual(start)) {
        this.current += lineCount - (range.end.line - range.start.line);
      } else if (range.start.isBefore(start)) {
        this.current += range.start.line - start.line; // the beginning of the line was replaced
      }
    }
  }
}

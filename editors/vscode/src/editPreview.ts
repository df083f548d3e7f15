// Shows what an edit would change in VS Code's diff editor, and applies it, as one undo step, if the user agrees. The
// question is answered in the title of the diff editor: VS Code hides a notification after some seconds, and it stays when it is void.
import * as vscode from 'vscode';

const SCHEME = 'starcoder-edit';

export class EditPreview implements vscode.TextDocumentContentProvider {
  private readonly texts = new Map<string, string>();
  private readonly decided = new vscode.EventEmitter<boolean>();
  private count = 0;

  register(): vscode.Disposable {
    return vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Answer the question of the active diff. Implements the buttons in its title. */
  decide(isAccepted: boolean): void {
    this.decided.fire(isAccepted);
  }

  /** Apply `edits` to the document `uri`; before, show them and ask if `isConfirmed` is false. */
  async apply(uri: vscode.Uri, edits: vscode.TextEdit[], title: string, isConfirmed: boolean): Promise<void> {
    const document = await vscode.workspace.openTextDocument(uri);
    const version = document.version;
    if (!isConfirmed && !(await this.ask(document, edits, title))) {
      return;
    }
    if (document.version !== version) {
      throw new Error('the text was changed in the meantime, so nothing was done.');
    }
    const edit = new vscode.WorkspaceEdit();
    edit.set(uri, edits);
    if (!(await vscode.workspace.applyEdit(edit))) {
      throw new Error(`VS Code could not change ${document.fileName}.`);
    }
  }

  /** Whether the user applies the edits, which a diff editor shows meanwhile. Closing the diff discards them. */
  private async ask(document: vscode.TextDocument, edits: vscode.TextEdit[], title: string): Promise<boolean> {
    this.count += 1;
    const name = document.uri.path.split('/').pop() ?? '';
    const proposed = vscode.Uri.from({ scheme: SCHEME, path: `/${this.count}/${name}` });
    this.texts.set(proposed.toString(), withEdits(document, edits));
    const subscriptions: vscode.Disposable[] = [];
    try {
      await vscode.commands.executeCommand('vscode.diff', document.uri, proposed, `StarCoder: ${title}`, { preview: true });
      const isDecided = new Promise<boolean>((resolve) => subscriptions.push(
        this.decided.event((isAccepted) => tabOf(proposed)?.isActive && resolve(isAccepted)),
        vscode.window.tabGroups.onDidChangeTabs(() => tabOf(proposed) || resolve(false))));
      return await isDecided;
    } finally {
      subscriptions.forEach((subscription) => subscription.dispose());
      const tab = tabOf(proposed);
      if (tab) {
        await vscode.window.tabGroups.close(tab);
      }
      this.texts.delete(proposed.toString());
    }
  }
}

/** The tab of the diff editor whose right side is `proposed`. */
function tabOf(proposed: vscode.Uri): vscode.Tab | undefined {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  return tabs.find(({ input }) => input instanceof vscode.TabInputTextDiff && input.modified.toString() === proposed.toString());
}

/** The text of `document` after `edits`, which do not overlap. */
function withEdits(document: vscode.TextDocument, edits: vscode.TextEdit[]): string {
  const ordered = edits
    .map((edit, index) => ({ start: document.offsetAt(edit.range.start), end: document.offsetAt(edit.range.end), text: edit.newText, index }))
    .sort((first, second) => first.start - second.start || first.index - second.index);
  const text = document.getText();
  let result = '';
  let offset = 0;
  for (const edit of ordered) {
    result += text.slice(offset, edit.start) + edit.text;
    offset = edit.end;
  }
  return result + text.slice(offset);
}
